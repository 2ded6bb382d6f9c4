"""The U-Nets: one logit a voxel, any cube whose sides can be halved."""

from __future__ import annotations

import warnings
from typing import get_args

import numpy as np
import openvino as ov
import pytest
import torch
from torch import nn

from lung_nodules.networks.separable import SeparableConv3d
from lung_nodules.networks.unet import BACKGROUND_LOGIT, NNUNET_CHANNELS, Variant, build_unet

VARIANTS = get_args(Variant)
FULL_RESOLUTION = [variant for variant in VARIANTS if variant != "standard"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(8, 8, 8), (16, 8, 12)])
def test_there_is_one_logit_a_voxel(variant: Variant, shape: tuple[int, int, int]) -> None:
    network = build_unet(variant, [4, 8, 8]).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 1, *shape)).shape == (2, 1, *shape)


@pytest.mark.parametrize("variant", FULL_RESOLUTION)
def test_all_at_full_resolution_start_from_nothing_here(variant: Variant) -> None:
    network = build_unet(variant, [4, 8, 8]).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, 1, 8, 8, 8))
    torch.testing.assert_close(logits, torch.full_like(logits, BACKGROUND_LOGIT))


def test_the_residual_one_sees_single_voxels_and_the_neighbourhood() -> None:
    torch.manual_seed(0)
    network = build_unet("residual", [4, 8, 8]).eval()
    image = torch.zeros(1, 1, 16, 16, 16, requires_grad=True)
    network(image)[0, 0, 8, 8, 8].backward()
    assert image.grad is not None
    reach = image.grad[0, 0].nonzero()
    assert image.grad[0, 0, 8, 8, 8] != 0
    assert (reach.amax(0) - reach.amin(0) >= 12).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_learns_and_runs_the_same_on_openvino(variant: Variant) -> None:
    torch.manual_seed(0)
    network = build_unet(variant, [4, 8, 8], deep_supervision=variant == "nnunet")
    image = torch.rand(2, 1, 16, 16, 16)
    before = [parameter.clone() for parameter in network.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    network(image).square().mean().backward()
    optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    network.eval()
    with torch.inference_mode():
        meant = network(image).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO traces with torch.jit
        converted = ov.convert_model(network, example_input=image)
    compiled = ov.Core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(image.numpy())[0], meant, atol=1e-3)


def test_deep_supervision_adds_outputs_in_training_only() -> None:
    network = build_unet("nnunet", [4, 8, 8, 8], deep_supervision=True)
    image = torch.rand(2, 1, 16, 16, 16)
    assert network(image).shape == (2, 3, 1, 16, 16, 16)
    assert network.eval()(image).shape == (2, 1, 16, 16, 16)
    with pytest.raises(ValueError, match="no deep supervision"):
        build_unet("standard", [4, 8], deep_supervision=True)


def test_the_separable_one_separates_all_but_the_first_convolution_and_the_ways_up() -> None:
    whole, separable = (build_unet(variant, [16, 32, 64]) for variant in ("residual", "separable"))
    wide = [one for one in separable.modules() if isinstance(one, nn.Conv3d) and one.kernel_size == (3, 3, 3)]
    assert {one.groups == one.in_channels for one in wide} == {True}
    assert sum(isinstance(one, SeparableConv3d) for one in separable.modules()) == len(wide) - 1
    counts = [sum(each.numel() for each in one.parameters()) for one in (whole, separable)]
    assert counts[1] < counts[0] / 4


def test_nnunet_plans_four_levels_for_cubes_of_48() -> None:
    network = build_unet("nnunet", NNUNET_CHANNELS)
    instances = [one for one in network.modules() if isinstance(one, nn.InstanceNorm3d)]
    assert len(instances) == 2 * (2 * len(NNUNET_CHANNELS) - 1)
    assert not any(isinstance(one, nn.BatchNorm3d) for one in network.modules())
    assert 48 // 2 ** (len(NNUNET_CHANNELS) - 1) == 6
