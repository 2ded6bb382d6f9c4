"""The Vision Transformers: what they share with the U-Net, and that their outputs are logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lung_nodules.networks.unet import build_unet
from lung_nodules.networks.vit import HybridViT, PlainViT

CHANNELS = [4, 8, 12]


def hybrid() -> HybridViT:
    torch.manual_seed(0)
    return HybridViT(16, CHANNELS, hidden_size=12, num_layers=1, num_heads=2, num_outputs=3).eval()


def test_the_encoder_of_a_trained_outliner_gives_its_deepest_features() -> None:
    torch.manual_seed(1)
    unet = build_unet("residual", CHANNELS).eval()
    network = hybrid()
    image = torch.rand(2, 1, 16, 16, 16)
    deepest: list[Tensor] = []
    unet.bottleneck.register_forward_hook(lambda module, inputs, output: deepest.append(output))
    with torch.inference_mode():
        before = network.encoder(image)
        network.encoder.load_unet(unet)
        unet(image)
        after = network.encoder(image)
    assert after.shape == (2, 12, 4, 4, 4)
    assert torch.equal(after, deepest[0])
    assert not torch.allclose(after, before)


def test_the_outliner_keeps_its_own_weights_when_the_encoder_learns() -> None:
    unet = build_unet("residual", CHANNELS)
    network = hybrid()
    network.encoder.load_unet(unet)
    kept = [parameter.clone() for parameter in unet.parameters()]
    with torch.no_grad():
        for parameter in network.encoder.parameters():
            parameter.add_(1)
    assert all(torch.equal(one, other) for one, other in zip(kept, unet.parameters(), strict=True))


def test_the_hybrid_sees_where_things_lie() -> None:
    network = hybrid()
    image = torch.zeros(1, 1, 16, 16, 16)
    image[..., :6] = 1
    with torch.inference_mode():
        assert not torch.allclose(network(image), network(image.flip(-1)), atol=1e-6)


@pytest.mark.parametrize(
    "network",
    [hybrid(), PlainViT(16, 8, hidden_size=12, num_layers=1, num_heads=2, num_outputs=3).eval()],
    ids=["hybrid", "plain"],
)
def test_the_outputs_are_logits_without_bound(network: nn.Module) -> None:
    last = [module for module in network.modules() if isinstance(module, nn.Linear) and module.out_features == 3][-1]
    assert last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([-30.0, 0.5, 30.0]))
    with torch.inference_mode():
        logits = network(torch.rand(1, 1, 16, 16, 16))
    torch.testing.assert_close(logits, torch.tensor([[-30.0, 0.5, 30.0]]))
