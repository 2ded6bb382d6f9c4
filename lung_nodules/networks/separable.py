"""Depthwise-separable convolutions: a filter a channel, then a mixture of channels (Howard 2017, arXiv 1704.04861).

A 3 x 3 x 3 convolution from a to b channels has 27 a b weights; separated it has 27 a + a b.
"""

from __future__ import annotations

from torch import nn


class SeparableConv3d(nn.Sequential):
    """A 3D convolution in two parts, in place of one of the same channels, stride and padding."""

    def __init__(self, whole: nn.Conv3d) -> None:
        depthwise = nn.Conv3d(
            whole.in_channels,
            whole.in_channels,
            whole.kernel_size,  # type: ignore[arg-type]  # torch keeps a tuple of three
            whole.stride,  # type: ignore[arg-type]
            whole.padding,  # type: ignore[arg-type]
            groups=whole.in_channels,
            bias=False,
        )
        super().__init__(depthwise, nn.Conv3d(whole.in_channels, whole.out_channels, 1, bias=whole.bias is not None))


def separate(network: nn.Module) -> None:
    """Replace every convolution of more than one voxel and more than one input channel, in place."""
    for module in list(network.modules()):  # each once, wherever it stands
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv3d) and max(child.kernel_size) > 1 and child.in_channels > 1:
                setattr(module, name, SeparableConv3d(child))
