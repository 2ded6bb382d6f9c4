"""Masked autoencoding: only what is hidden counts, and what was learned fits the network that classifies."""

from __future__ import annotations

import pytest
import torch

from lung_nodules.networks.build import build_network
from lung_nodules.networks.masked import MaskedHybrid, MaskedPlain, blocks, hidden_blocks, masked_error, without_head
from lung_nodules.networks.record import Architecture
from lung_nodules.networks.vit import HybridViT

SIZES = {"patch_voxels": 16, "hidden_size": 12, "num_layers": 1, "num_heads": 2, "num_outputs": 3}
HYBRID = Architecture(name="hybrid-vit", arguments={"channels": [4, 8, 8], **SIZES})
PLAIN = Architecture(name="plain-vit", arguments={"token_voxels": 4, **SIZES})


def masked_hybrid() -> MaskedHybrid:
    trunk = build_network(HYBRID)
    assert isinstance(trunk, HybridViT)
    return MaskedHybrid(trunk, masked_share=0.5)


def test_the_wanted_share_of_every_cube_is_hidden() -> None:
    hidden = hidden_blocks(5, 64, 0.6)
    assert hidden.sum(dim=1).tolist() == [38] * 5
    assert not torch.equal(hidden[0], hidden[1])


def test_blocks_stand_in_the_order_of_the_tokens() -> None:
    cube = torch.arange(16.0**3).reshape(1, 1, 16, 16, 16)
    parts = blocks(cube, 4)
    assert parts.shape == (1, 64, 64)
    assert torch.equal(parts[0, 1], cube[0, 0, :4, :4, 4:8].flatten())  # the second token lies one block to the right
    assert torch.equal(parts[0, 16], cube[0, 0, 4:8, :4, :4].flatten())


def test_an_error_where_nothing_was_hidden_does_not_count() -> None:
    error = torch.tensor([[[1.0, 3.0], [100.0, 100.0], [5.0, 7.0]]])
    assert masked_error(error, torch.tensor([[1.0, 0.0, 1.0]])).tolist() == [4.0]


def test_what_is_hidden_from_the_hybrid_does_not_reach_its_tokens() -> None:
    network, seen = masked_hybrid().eval(), []
    network.trunk.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    for image in (torch.zeros(1, 1, 16, 16, 16), torch.ones(1, 1, 16, 16, 16)):
        torch.manual_seed(3)
        network(image)
    dark, bright = seen
    assert (dark == bright).float().mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("network", "classifier"), [(masked_hybrid(), HYBRID), (MaskedPlain(PLAIN, 0.5), PLAIN)], ids=["hybrid", "plain"]
)
def test_what_was_learned_fits_the_classifier(network: MaskedHybrid | MaskedPlain, classifier: Architecture) -> None:
    wanted = without_head(build_network(classifier))
    assert {name: tensor.shape for name, tensor in network.trained().items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }


@pytest.mark.parametrize("network", [masked_hybrid(), MaskedPlain(PLAIN, 0.5)], ids=["hybrid", "plain"])
def test_the_error_falls_by_learning(network: MaskedHybrid | MaskedPlain) -> None:
    torch.manual_seed(0)
    cube = torch.linspace(0, 1, 16).expand(4, 1, 16, 16, 16)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    errors = []
    for _ in range(60):
        error = network(cube).mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert sum(errors[-10:]) < 0.5 * sum(errors[:10])
    assert network(cube).shape == (4,)
