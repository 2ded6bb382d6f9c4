"""Each network's run, stopped anywhere and resumed, ends with the weights of one that was never stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from interruptions import InterruptingProgress, Stopped
from tiny_training import make_noise, make_training_crops

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.progress import Progress, SilentProgress
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.classification import ClassificationTraining, Negatives, train_classifier
from lung_nodules.training.classifier_start import ClassifierStart
from lung_nodules.training.cubes import CubeSettings
from lung_nodules.training.detection import DetectionTraining, kept_mistakes, train_finder
from lung_nodules.training.loop import LoopSettings, Run
from lung_nodules.training.mistakes import CropMistake, MiningSettings, Mistake
from lung_nodules.training.segmentation import SegmentationTraining, train_outliner

STEPS = 6
CHANNELS = (4, 8, 8)
CUBE = CubeSettings(voxels=16, spacing_mm=3.0)
LOOP = LoopSettings(
    steps=STEPS,
    batch_size=2,
    warmup_steps=1,
    num_workers=0,
    ema_decay=0.5,
    checkpoint_minutes=1e-9,
    learning_rate=0.003,
)
OUTLINER = SegmentationTraining(channels=CHANNELS, cube=CUBE, loop=LOOP)
FINDER = DetectionTraining(
    channels=CHANNELS,
    cube=CUBE,
    loop=LOOP,
    negative_share=0.7,
    mined_share=1.0,
    mine_at=(1 / 3, 2 / 3),
    mining=MiningSettings(window_voxels=32),
)
CLASSIFIER = ClassificationTraining(channels=CHANNELS, cube=CUBE, loop=LOOP, hidden_size=8, num_layers=1, num_heads=2)

Train = Callable[[Path, Progress, bool], Run]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> tuple[NoduleCrop, ...]:
    return make_training_crops(tmp_path_factory.mktemp("cohort") / "crops")


@pytest.fixture(scope="module")
def lung() -> Background:
    return make_noise(100)


@pytest.fixture
def train(request: pytest.FixtureRequest, crops: tuple[NoduleCrop, ...], lung: Background) -> Train:
    """Train the network that the test names."""

    def outliner(folder: Path, progress: Progress, resume: bool) -> Run:
        return train_outliner(crops, crops[:2], (lung,), OUTLINER, folder, progress, resume=resume)

    def finder(folder: Path, progress: Progress, resume: bool) -> Run:
        return train_finder(crops, crops[:2], (lung,), FINDER, folder, progress, resume=resume)

    def classifier(folder: Path, progress: Progress, resume: bool) -> Run:
        network, _ = ClassifierStart().build(CLASSIFIER)
        negatives = Negatives([Mistake(0, (20, 20, 20), 0.9)], [CropMistake(1, (3.0, 10.0, 10.0), 0.8)])
        return train_classifier(
            network, crops, crops[:2], (lung,), negatives, CLASSIFIER, folder, progress, resume=resume
        )

    return {"outliner": outliner, "finder": finder, "classifier": classifier}[request.param]


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.average.module.state_dict())


def are_equal(one: Run, other: Run) -> bool:
    ours, theirs = weights_of(one), weights_of(other)
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def stopped_and_resumed(train: Train, folder: Path, progress: Progress) -> Run:
    folder.mkdir()
    with pytest.raises(Stopped):
        train(folder, progress, False)
    return train(folder, SilentProgress(), True)


@pytest.mark.parametrize("train", ["outliner", "finder", "classifier"], indirect=True)
def test_a_resumed_run_ends_with_the_weights_of_one_that_was_never_stopped(train: Train, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole", SilentProgress(), False)
    for step in range(2, STEPS + 1):
        folder = tmp_path / f"stopped in step {step}"
        assert are_equal(stopped_and_resumed(train, folder, InterruptingProgress(step)), whole), step


@pytest.mark.parametrize("train", ["finder"], indirect=True)
def test_a_finder_that_is_stopped_while_it_mines_mines_the_same_again(train: Train, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole", SilentProgress(), False)
    resumed = stopped_and_resumed(train, tmp_path / "mining", InterruptingProgress(1, "detection"))
    assert kept_mistakes(resumed) == kept_mistakes(whole)
    assert are_equal(resumed, whole)


@pytest.mark.parametrize("train", ["finder"], indirect=True)
def test_a_checkpoint_that_holds_no_mistakes_is_resumed_with_what_is_mined_anew(train: Train, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path, InterruptingProgress(STEPS), False)
    path = tmp_path / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    assert state["kept"]["mined_at"] == 4
    assert state["kept"]["mistakes"]
    del state["kept"]
    torch.save(state, path)

    run = train(tmp_path, SilentProgress(), True)
    assert run.kept["mined_at"] == STEPS - 1
    assert kept_mistakes(run)
