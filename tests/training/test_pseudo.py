"""The line reads unlabelled scans (a synthetic one) and the outliner learns from what it is sure of."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tiny_cohort import invented_patients, write_tiny_crops, write_tiny_scans
from tiny_models import write_tiny_models

from lung_nodules.cohorts.crops import read_crops
from lung_nodules.cohorts.ct import upright
from lung_nodules.cohorts.split import Split
from lung_nodules.errors import UsageRefusal
from lung_nodules.networks.opened import Networks, open_networks
from lung_nodules.networks.record import load_models
from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec
from lung_nodules.progress import SilentProgress
from lung_nodules.settings import DetectionSettings, RuntimeSettings, SegmentationSettings, Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.series import select_series
from lung_nodules.stages.volume import build_volume
from lung_nodules.training.cubes import CubeSettings
from lung_nodules.training.loop import LoopSettings
from lung_nodules.training.pseudo import PSEUDO, PseudoSettings, read_pseudo_crops, write_pseudo_crops
from lung_nodules.training.recipes import Workshop, teach, teach_segmentation
from lung_nodules.training.segmentation import SegmentationTraining, sampling_weights

# the tiny classifier has learned nothing, so its word is not asked for
EASY = PseudoSettings(min_nodule_probability=0.0, min_candidate_score=0.0, max_diameter_mm=60.0)
LINE = Settings(
    detection=DetectionSettings(max_candidates=12, margin_mm=0),
    segmentation=SegmentationSettings(num_flips=1, largest_cube_mm=48),
    runtime=RuntimeSettings(runtime="torch", num_threads=1),
)
PATIENTS = {side: invented_patients(side)[-1] for side in Split}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One study of a patient who trains, the same of one who tests, of one who tunes and of nobody, and no study."""
    root = tmp_path_factory.mktemp("unlabelled")
    settings = PhantomSettings(
        nodules=(NoduleSpec(diameter_mm=24), NoduleSpec(diameter_mm=16)),
        num_slices=100,
        slice_spacing_mm=3.0,
        rows=128,
        columns=128,
        pixel_spacing_mm=2.8,
    )
    write_phantom(root / "phantom", settings)
    for name, patient in {**PATIENTS, "nobody": ""}.items():
        shutil.copytree(root / "phantom" / "dicom", root / "scans" / name)
        for path in (root / "scans" / name).rglob("*"):
            if path.is_file():
                dataset = pydicom.dcmread(path)
                dataset.PatientID = patient
                dataset.save_as(path)
    shutil.copytree(root / "scans" / "train", root / "only" / "train")
    (root / "scans" / "notes").mkdir()
    (root / "scans" / "notes" / "read.me").write_text("no scan")
    return root / "scans"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_models(folder)
    return folder


@pytest.fixture(scope="module")
def networks(models: Path) -> Networks:
    return open_networks(load_models(models), LINE.runtime)


def test_findings_of_patients_who_train_become_crops_and_all_is_counted(
    scans: Path, networks: Networks, tmp_path: Path
) -> None:
    counts = write_pseudo_crops(scans, tmp_path / "pseudo", networks, (), EASY, SilentProgress(), LINE)
    assert counts.scans_read == 1
    assert counts.scans_left_out == {"test-patient": 1, "validation-patient": 1, "no-patient-id": 1, "not-dicom": 1}
    assert str(counts).startswith(f"{counts.findings_kept} pseudo nodules from 1 scans")

    crops = read_pseudo_crops(tmp_path / "pseudo")
    assert len(crops) == counts.findings_kept > 0
    assert {(crop.kind, crop.patient_id, crop.num_masks, crop.num_readers) for crop in crops} == {
        (PSEUDO, PATIENTS[Split.TRAIN], 1, 0)
    }
    written = json.loads((tmp_path / "pseudo" / "counts.json").read_text())
    assert (written["findings_kept"], written["scans_left_out"]["test-patient"]) == (len(crops), 1)


def test_a_crop_shows_the_outlined_nodule_with_lung_on_all_sides(
    scans: Path, networks: Networks, tmp_path: Path
) -> None:
    write_pseudo_crops(scans, tmp_path / "pseudo", networks, (), EASY, SilentProgress(), LINE)
    crops = read_pseudo_crops(tmp_path / "pseudo")
    scan = upright(build_volume(select_series(read_instances(scans / "train", LINE), LINE), LINE)).geometry
    centers = np.array([scan.to_world(crop.origin_ijk + crop.center_ijk) for crop in crops])
    for nodule in json.loads((scans.parent / "phantom" / "truth.json").read_text())["nodules"]:
        assert np.linalg.norm(centers - nodule["center_lps"], axis=1).min() < 5
    for crop in crops:
        inside, outside = crop.image[crop.consensus], crop.image[~crop.consensus]
        assert np.median(inside) > -400 > np.median(outside)
        assert min(np.subtract(crop.image.shape, np.ptp(np.argwhere(crop.consensus), axis=0))) >= 10


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_nodule_probability": 1.0}, "low-nodule-probability"),
        ({"min_candidate_score": 1.0}, "low-candidate-score"),
        ({"min_diameter_mm": 50.0}, "too-small"),
        ({"max_diameter_mm": 1.0, "min_diameter_mm": 0.0}, "too-large"),
    ],
)
def test_findings_that_cannot_be_trusted_are_left_out(
    scans: Path, networks: Networks, tmp_path: Path, limits: dict[str, float], reason: str
) -> None:
    settings = EASY.model_copy(update=limits)
    with pytest.raises(UsageRefusal, match=rf"{reason}.*no-pseudo-labels"):
        write_pseudo_crops(scans.parent / "only", tmp_path / "pseudo", networks, (), settings, SilentProgress(), LINE)
    assert not (tmp_path / "pseudo" / "nodules.csv").exists()


@pytest.mark.parametrize("series", ["thin", "thick"])
def test_a_study_that_readers_outlined_is_left_out(
    scans: Path, networks: Networks, tmp_path: Path, series: str
) -> None:
    truth = json.loads((scans.parent / "phantom" / "truth.json").read_text())
    labelled = [truth[f"{series}_series_instance_uid"]]
    with pytest.raises(UsageRefusal, match="1 labelled-already"):
        write_pseudo_crops(scans.parent / "only", tmp_path, networks, labelled, EASY, SilentProgress(), LINE)


def test_a_pseudo_nodule_is_drawn_by_its_own_weight(tmp_path: Path) -> None:
    write_tiny_crops(tmp_path / "crops")
    crops = read_crops(tmp_path / "crops", [Split.TRAIN])[:3]
    mixed = [*crops, replace(crops[0], kind=PSEUDO, num_masks=1)]
    weights = sampling_weights(mixed, (0.2, 0.5, 1.0), 2.0, pseudo_weight=0.25)
    assert weights == pytest.approx(np.array([1, 1, 1, 0.25]) / 3.25)


@pytest.mark.training
def test_the_outliner_learns_from_unlabelled_scans(
    scans: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_tiny_crops(tmp_path / "crops")
    write_tiny_scans(tmp_path / "scans")
    shutil.copytree(models, tmp_path / "models")
    shop = Workshop(tmp_path / "crops", tmp_path / "scans", tmp_path / "run", tmp_path / "models", pseudo=scans)
    settings = SegmentationTraining(
        channels=(4, 8, 8),
        cube=CubeSettings(voxels=16, spacing_mm=3.0),
        loop=LoopSettings(steps=4, batch_size=2, warmup_steps=1, num_workers=0),
        pseudo=EASY,
    )
    record = teach_segmentation(shop, settings, SilentProgress())
    kept = len(read_pseudo_crops(tmp_path / "run" / "pseudo"))
    assert record.data.cohorts[-1].startswith(f"{kept} pseudo nodules")
    assert record.data.num_examples == 10 + kept

    with pytest.raises(UsageRefusal, match="bad-usage"):
        teach_segmentation(replace(shop, pseudo=None, resume=True), settings, SilentProgress())
    again = teach_segmentation(replace(shop, resume=True), settings, SilentProgress())
    assert again.weights_sha256 == record.weights_sha256


def test_only_the_outliner_learns_from_unlabelled_scans(tmp_path: Path) -> None:
    shop = Workshop(tmp_path, tmp_path, tmp_path, tmp_path, pseudo=tmp_path)
    with pytest.raises(UsageRefusal, match="Only the outliner"):
        teach("detection", shop, [], SilentProgress())
