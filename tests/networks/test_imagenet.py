"""A 2D ViT on three planes: which planes, and that a local folder's weights are the ones that run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lung_nodules.errors import UsageRefusal
from lung_nodules.networks.build import build_network
from lung_nodules.networks.imagenet import PlanesViT, planes, read_pretrained
from lung_nodules.networks.record import Architecture

transformers = pytest.importorskip("transformers")


def write_small_vit(folder: Path) -> Path:
    """A randomly initialised ViT in the format of the hub, as small as can be."""
    torch.manual_seed(5)
    config = transformers.ViTConfig(
        hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16
    )
    transformers.ViTModel(config).save_pretrained(folder)
    return folder


def test_the_planes_meet_in_the_middle() -> None:
    cube = torch.zeros(1, 1, 8, 8, 8)
    cube[0, 0, 3:5, 1, 2] = 1  # in the axial plane alone
    cube[0, 0, 6, 3:5, 5] = 2  # in the coronal one
    cube[0, 0, 7, 0, 3:5] = 3  # in the sagittal one
    axial, coronal, sagittal = planes(cube)[0]
    assert axial[1, 2] == 1
    assert coronal[6, 5] == 2
    assert sagittal[7, 0] == 3
    assert [float(plane.max()) for plane in (axial, coronal, sagittal)] == [1, 2, 3]


def test_an_odd_cube_has_one_middle_voxel() -> None:
    cube = torch.zeros(1, 1, 5, 5, 5)
    cube[0, 0, 2, 1, 4] = 1
    assert planes(cube)[0, 0, 1, 4] == 1


def test_the_weights_of_a_folder_are_the_ones_that_run(tmp_path: Path) -> None:
    config, tensors = read_pretrained(str(write_small_vit(tmp_path)))
    network = build_network(
        Architecture(name="imagenet-vit", arguments={"patch_voxels": 16, "num_outputs": 3, "config": config})
    )
    assert isinstance(network, PlanesViT)
    network.encoder.load_state_dict(tensors)
    given = transformers.ViTModel.from_pretrained(tmp_path).eval()
    pictures: list[torch.Tensor] = []
    network.eval().encoder.register_forward_pre_hook(lambda module, inputs: pictures.append(inputs[0]))
    with torch.inference_mode():
        logits = network(torch.rand(2, 1, 16, 16, 16))
        expected = network.head(given(pictures[0]).last_hidden_state[:, 0])
    assert pictures[0].shape == (2, 3, 32, 32)
    assert logits.shape == (2, 3)
    torch.testing.assert_close(logits, expected)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageRefusal, match="pretrained-unreadable"):
        read_pretrained(str(tmp_path / "nothing"))


def test_a_folder_of_another_network_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=20
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(UsageRefusal, match="pretrained-unreadable"):
        read_pretrained(str(tmp_path))
