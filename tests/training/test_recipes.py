"""All three networks are taught on a tiny cohort, published, loaded, run and evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluation.drawn_scans import write_drawn_scans
from interruptions import InterruptingProgress, Stopped
from tiny_cohort import NUM_PATIENTS, write_tiny_crops, write_tiny_scans
from typer.testing import CliRunner

from lung_nodules import cli
from lung_nodules.cohorts.crops import read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.networks.opened import open_networks
from lung_nodules.networks.record import ModelRecord, load_models
from lung_nodules.networks.unet import build_unet
from lung_nodules.progress import Progress, SilentProgress
from lung_nodules.settings import RuntimeSettings
from lung_nodules.training.classification import ClassificationTraining
from lung_nodules.training.cubes import CubeSettings
from lung_nodules.training.detection import DetectionTraining
from lung_nodules.training.loop import LoopSettings
from lung_nodules.training.mistakes import MiningSettings
from lung_nodules.training.recipes import Workshop, teach_classification, teach_detection, teach_segmentation
from lung_nodules.training.segmentation import SegmentationTraining, train_outliner

CHANNELS = (4, 8, 8)
CUBE = CubeSettings(voxels=16, spacing_mm=3.0)
LOOP = LoopSettings(
    steps=4, batch_size=2, warmup_steps=1, validate_every=100, num_workers=0, ema_decay=0.5, checkpoint_minutes=1e-9
)
LEARNED = LOOP.model_copy(update={"steps": 60, "learning_rate": 0.01})  # enough to outline something
OUTLINER = SegmentationTraining(channels=CHANNELS, cube=CUBE, loop=LEARNED)
MINING = MiningSettings(window_voxels=32)
FINDER = DetectionTraining(channels=CHANNELS, cube=CUBE, loop=LOOP, mine_at=(0.5,), mining=MINING)
CLASSIFIER = ClassificationTraining(
    channels=CHANNELS, cube=CUBE, loop=LOOP, mining=MINING, hidden_size=8, num_layers=1, num_heads=2, dropout=0.0
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Workshop]:
    root = tmp_path_factory.mktemp("workshop")
    write_tiny_crops(root / "crops")
    write_tiny_scans(root / "scans")
    return lambda kind: Workshop(root / "crops", root / "scans", root / "runs" / kind, root / "models")


Teach = Callable[[Workshop, Progress], ModelRecord]
TEACH: dict[str, Teach] = {
    "segmentation": lambda place, progress: teach_segmentation(place, OUTLINER, progress),
    "detection": lambda place, progress: teach_detection(place, FINDER, progress),
    "classification": lambda place, progress: teach_classification(place, CLASSIFIER, progress),
}


@pytest.fixture(scope="module")
def taught(workshop: Callable[[str], Workshop]) -> dict[str, ModelRecord]:
    """The records of the three, taught one after the other into one models folder."""
    return {kind: teach(workshop(kind), SilentProgress()) for kind, teach in TEACH.items()}


@pytest.mark.slow
def test_all_three_are_taught_and_run(taught: dict[str, ModelRecord], workshop: Callable[[str], Workshop]) -> None:
    record = taught["classification"]
    assert {score.name for score in record.scores} >= {"auc, suspicion as reported", "auc, readers' diameter alone"}
    assert all(score.low is not None and score.low <= score.value <= (score.high or 0) for score in record.scores)
    assert set(record.operating_points) >= {"sensitive", "balanced", "specific"}
    assert record.data.num_patients == 10
    lines = (workshop("detection").run / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == LOOP.steps

    models = load_models(workshop("segmentation").models)
    networks = open_networks(models, RuntimeSettings(runtime="torch", num_threads=1))
    cube = torch.zeros(1, 1, 16, 16, 16).numpy()
    assert networks.finder(cube).shape == networks.outliner(cube).shape == cube.shape
    assert networks.classifier(cube).shape == (1, len(record.outputs))


@pytest.mark.slow
def test_all_three_are_stopped_resumed_to_identical_weights_and_evaluated(
    taught: dict[str, ModelRecord], workshop: Callable[[str], Workshop], tmp_path: Path
) -> None:
    for kind, teach in TEACH.items():
        place = replace(workshop(f"{kind}-stopped"), models=tmp_path / "models")
        with pytest.raises(Stopped):
            teach(place, InterruptingProgress(LOOP.steps))
        record = teach(replace(place, resume=True), SilentProgress())
        assert record.weights_sha256 == taught[kind].weights_sha256

    write_drawn_scans(tmp_path / "scans")
    crops = evaluate(tmp_path, "crops", str(workshop("any").crops), "--split", "rule-test")
    scans = evaluate(tmp_path, "scans", str(tmp_path / "scans"))
    for figures in (crops, scans):
        assert all(f"weights {one.weights_sha256[:12]}" in figures["about"][kind] for kind, one in taught.items())
    assert crops["segmentation"]["dice"]["n"] == NUM_PATIENTS[Split.TEST]
    assert crops["segmentation"]["dice"]["value"] > 0.5
    assert crops["classification"]["image_alone"]["auc_above_3_against_below_3"]["n"] == NUM_PATIENTS[Split.TEST]
    assert scans["detection"]["cpm"]["n"] == 2
    assert set(scans["detection"]["operating_points"]) == set(taught["classification"].operating_points)


def evaluate(folder: Path, cohort: str, *place: str) -> dict[str, Any]:
    """What `lung-nodules evaluate` measures with the models of a folder."""
    options = ["--models", folder / "models", "--json", folder / f"{cohort}.json", "--output", folder / cohort]
    arguments = ["evaluate", "--cohort", cohort, *place, *map(str, options)]
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return dict(json.loads((folder / f"{cohort}.json").read_text(encoding="utf-8")))


@pytest.mark.training
def test_a_classifier_by_folds_on_an_imagenet_encoder_is_taught_and_run(
    workshop: Callable[[str], Workshop], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=32, patch_size=16
    )
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    if not (workshop("any").models / "detection").is_dir():
        teach_segmentation(workshop("segmentation"), OUTLINER, SilentProgress())
        teach_detection(workshop("detection"), FINDER, SilentProgress())
    place = replace(workshop("folds"), pretrained=str(tmp_path / "vit"))
    changes = {"encoder": "imagenet", "folds": 2, "fold_finder_steps": 2, "balanced": True, "focal_gamma": 1.0}
    settings = CLASSIFIER.model_copy(update=changes)
    with caplog.at_level("INFO", "lung_nodules"):
        record = teach_classification(place, settings, SilentProgress())

    assert any(said.startswith("false candidates: 0 in 0 scans") for said in caplog.messages)  # no second scan to hold
    assert record.architecture.name == "imagenet-vit"
    assert "image.malignancy" in record.heads["suspicion"].inputs
    assert {path.name for path in place.run.iterdir() if path.is_dir()} >= {
        "classifier-fold-0",
        "classifier-fold-1",
        "finder-fold-0",
        "finder-fold-1",
    }

    (place.run / "checkpoint.pt").unlink()  # as if it had been stopped among its folds
    again = teach_classification(replace(place, resume=True), settings, SilentProgress())
    assert again.weights_sha256 == record.weights_sha256

    networks = open_networks(load_models(place.models), RuntimeSettings(runtime="torch", num_threads=1))
    assert networks.classifier(torch.zeros(1, 1, 16, 16, 16).numpy()).shape == (1, len(record.outputs))


def test_an_outliner_starts_from_the_network_that_is_given(tmp_path: Path) -> None:
    write_tiny_crops(tmp_path / "crops")
    crops = read_crops(tmp_path / "crops", [Split.TRAIN])
    slow = OUTLINER.model_copy(update={"loop": LOOP.model_copy(update={"steps": 1, "learning_rate": 1e-9})})
    initial = build_unet(OUTLINER.variant, CHANNELS)

    run = train_outliner(crops, crops[:2], (), slow, tmp_path, SilentProgress(), initial=initial)
    for ours, given in zip(run.network.parameters(), initial.parameters(), strict=True):
        torch.testing.assert_close(ours, given, atol=1e-6, rtol=0)
