"""The U-Nets: one logit a voxel, any cube whose sides can be halved."""

from __future__ import annotations

import pytest
import torch

from lung_nodules.networks.unet import BACKGROUND_LOGIT, Variant, build_unet


@pytest.mark.parametrize("variant", ["residual", "standard"])
@pytest.mark.parametrize("shape", [(8, 8, 8), (16, 8, 12)])
def test_there_is_one_logit_a_voxel(variant: Variant, shape: tuple[int, int, int]) -> None:
    network = build_unet(variant, [4, 8, 8]).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 1, *shape)).shape == (2, 1, *shape)


def test_the_residual_one_starts_from_nothing_here() -> None:
    network = build_unet("residual", [4, 8, 8]).eval()
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
