"""Whether a network can start from the weights of another one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lung_nodules.errors import UsageRefusal


def check_alike(own: Mapping[str, Tensor], given: Mapping[str, Tensor], advice: str) -> None:
    """Check that the weights that are given are those of the same network.

    Args:
        own: By name, of the network that is to start from them.
        given: By name.
        advice: What makes them fit.

    Raises:
        UsageRefusal: ``initial-unfit`` where a name or a shape differs.
    """
    if {name: tensor.shape for name, tensor in own.items()} != {name: one.shape for name, one in given.items()}:
        raise UsageRefusal("initial-unfit", "The weights to start from are those of another network.", advice)
