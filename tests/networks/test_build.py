"""From a record to a network: the architectures that there are, and what cannot be built or loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lung_nodules.errors import ModelRefusal
from lung_nodules.networks.build import build_network, load_network
from lung_nodules.networks.record import Architecture, load_model

TRANSFORMER = {"patch_voxels": 16, "hidden_size": 12, "num_layers": 1, "num_heads": 2, "num_outputs": 3}
ARCHITECTURES = [
    Architecture(name="unet", arguments={"variant": "residual", "channels": [4, 8, 8]}),
    Architecture(name="unet", arguments={"variant": "standard", "channels": [4, 8, 8]}),
    Architecture(name="hybrid-vit", arguments={**TRANSFORMER, "channels": [4, 8, 8]}),
    Architecture(name="plain-vit", arguments={**TRANSFORMER, "token_voxels": 8}),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.name)
def test_every_architecture_is_built_from_a_record_that_was_written_as_json(architecture: Architecture) -> None:
    read = Architecture.model_validate_json(architecture.model_dump_json())
    network = build_network(read).eval()
    image = torch.rand(2, 1, 16, 16, 16)
    with torch.inference_mode():
        output = network(image)
        alone = network(image[1:])
    assert output.shape == (image.shape if architecture.name == "unet" else (2, 3))
    torch.testing.assert_close(output[1:], alone, rtol=1e-4, atol=1e-5)  # a batch's members do not see each other


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mamba", {}),
        ("unet", {"variant": "standard"}),
        ("unet", {"variant": "standard", "channels": [4, 8], "depth": 3}),
        ("unet", {"variant": "dense", "channels": [4, 8]}),
        ("hybrid-vit", {**TRANSFORMER, "channels": [4, 8, 8], "num_heads": 5}),
        ("plain-vit", {**TRANSFORMER, "token_voxels": 8, "num_heads": 5}),
    ],
)
def test_what_this_version_cannot_build_is_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ModelRefusal, match=name) as refused:
        build_network(Architecture(name=name, arguments=arguments))
    assert refused.value.code == "model-unsupported"


def test_loading_gives_the_weights_that_were_written(models_folder: Path) -> None:
    model = load_model(models_folder / "segmentation")
    first, second = load_network(model), load_network(model)
    assert not first.training
    image = torch.rand(1, 1, 16, 16, 16)
    with torch.inference_mode():
        assert torch.equal(first(image), second(image))


def test_weights_of_another_shape_are_refused(models_folder: Path) -> None:
    model = load_model(models_folder / "detection")
    wider = Architecture(name="unet", arguments={"variant": "standard", "channels": [4, 8, 16]})
    with pytest.raises(ModelRefusal, match="do not fit") as refused:
        load_network(replace(model, record=model.record.model_copy(update={"architecture": wider})))
    assert refused.value.code == "model-unsupported"
