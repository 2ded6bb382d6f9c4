"""Masked pre-training: its encoder is taken by a classifier of the same shape, and by no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_training import make_noise, make_training_crops

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.errors import ModelRefusal, UsageRefusal
from lung_nodules.networks.masked import without_head
from lung_nodules.networks.unet import build_unet
from lung_nodules.progress import SilentProgress
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.classifier_shape import ClassifierShape
from lung_nodules.training.classifier_start import ClassifierStart
from lung_nodules.training.cubes import CubeSettings
from lung_nodules.training.loop import LoopSettings, Run
from lung_nodules.training.pretraining import (
    WEIGHTS_FILE,
    PretrainingSettings,
    UnlabelledCubes,
    build_masked,
    pretrain,
    write_encoder,
)

CUBE = CubeSettings(voxels=16, spacing_mm=3.0)
LOOP = LoopSettings(steps=3, batch_size=2, warmup_steps=1, validate_every=100, num_workers=0, ema_decay=0.5)
SHAPE = {"channels": (4, 8, 8), "token_voxels": 4, "hidden_size": 8, "num_layers": 1, "num_heads": 2, "cube": CUBE}


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> tuple[NoduleCrop, ...]:
    return make_training_crops(tmp_path_factory.mktemp("cohort") / "crops")


@pytest.fixture(scope="module")
def lung() -> Background:
    return make_noise(-600)


def settings(encoder: str) -> PretrainingSettings:
    return PretrainingSettings.model_validate({"encoder": encoder, "loop": LOOP, **SHAPE})


def shape(encoder: str, hidden_size: int = 8) -> ClassifierShape:
    return ClassifierShape.model_validate({"encoder": encoder, **SHAPE, "hidden_size": hidden_size})


def pretrained(encoder: str, crops: tuple[NoduleCrop, ...], lung: Background, folder: Path) -> Run:
    folder.mkdir()
    run = pretrain(crops, crops[:2], (lung,), settings(encoder), folder, SilentProgress())
    write_encoder(folder, run, settings(encoder), 11, "unknown")
    return run


@pytest.mark.parametrize("encoder", ["hybrid", "plain"])
def test_a_classifier_starts_from_the_encoder(
    encoder: str, crops: tuple[NoduleCrop, ...], lung: Background, tmp_path: Path
) -> None:
    run = pretrained(encoder, crops, lung, tmp_path / "run")
    network, _ = ClassifierStart(initial=tmp_path / "run").build(shape(encoder))
    ours = without_head(network)
    for name, tensor in run.average.module.trained().items():
        torch.testing.assert_close(ours[name], tensor.cpu(), msg=name)
    untouched, _ = ClassifierStart().build(shape(encoder))
    assert any(not torch.equal(tensor, ours[name]) for name, tensor in without_head(untouched).items())


def test_an_encoder_of_another_shape_is_refused(
    crops: tuple[NoduleCrop, ...], lung: Background, tmp_path: Path
) -> None:
    pretrained("hybrid", crops, lung, tmp_path / "run")
    for other in (shape("hybrid", hidden_size=16), shape("plain")):
        with pytest.raises(UsageRefusal, match="initial-unfit"):
            ClassifierStart(initial=tmp_path / "run").build(other)


def test_an_altered_encoder_is_refused(crops: tuple[NoduleCrop, ...], lung: Background, tmp_path: Path) -> None:
    pretrained("plain", crops, lung, tmp_path / "run")
    weights = tmp_path / "run" / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelRefusal, match="model-altered"):
        ClassifierStart(initial=tmp_path / "run").build(shape("plain"))


def test_the_hybrid_begins_with_the_outliners_encoder() -> None:
    outliner = build_unet("residual", [4, 8, 8])
    network = build_masked(settings("hybrid"), outliner)
    name = "input_block.conv1.conv.weight"
    trained = network.trained()[f"encoder.levels.0.{name.removeprefix('input_block.')}"]
    assert torch.equal(trained, outliner.state_dict()[name])


def test_the_imagenet_encoder_needs_no_pretraining() -> None:
    with pytest.raises(UsageRefusal, match="bad-settings"):
        build_masked(settings("imagenet"))


def test_cubes_have_no_labels_and_are_the_same_for_the_same_number(
    crops: tuple[NoduleCrop, ...], lung: Background
) -> None:
    cubes = UnlabelledCubes(crops, (lung,), settings("hybrid"))
    assert set(cubes[0]) == {"image"}
    assert torch.equal(cubes[3]["image"], cubes[3]["image"])
    assert not torch.equal(cubes[3]["image"], cubes[4]["image"])
