"""The U-Nets that find (the finder) and outline (the outliner): one class of network, two sets of weights.

Both variants are MONAI's. `residual` is its `DynUNet` with residual blocks and a first level of stride 1, which keeps
features at full resolution: a 4 mm nodule is four voxels wide at 1 mm, and a first layer of stride 2 halves that.
`standard` is MONAI's `UNet`, whose first layer has stride 2. Batch normalisation, because it runs faster on CPUs than
instance normalisation and can be folded into the convolutions by a runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.unet import UNet
from torch import nn

Variant = Literal["residual", "standard"]
BACKGROUND_LOGIT = -3.0


def build_unet(variant: Variant, channels: Sequence[int]) -> nn.Module:
    """Build a 3D U-Net from one channel to one logit per voxel.

    Args:
        variant: ``residual`` (features at full resolution) or ``standard`` (first stride 2).
        channels: Feature channels a level, finest first.

    Returns:
        A module from float (N, 1, D, H, W) to logits of the same shape. D, H and W must be multiples of
        ``2 ** (levels - 1)``.

    Raises:
        ValueError: The variant is neither.
    """
    if variant not in get_args(Variant):
        raise ValueError(f"no U-Net of the variant {variant!r}")
    network = _residual(list(channels)) if variant == "residual" else _standard(list(channels))
    last = [module for module in network.modules() if isinstance(module, nn.Conv3d | nn.ConvTranspose3d)][-1]
    if variant == "residual" and last.bias is not None:
        nn.init.constant_(last.bias, BACKGROUND_LOGIT)  # nodules are rare: start from "nothing here"
    return network


def _residual(channels: list[int]) -> nn.Module:
    deeper = len(channels) - 1
    network: nn.Module = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        kernel_size=[3] * len(channels),
        strides=[1] + [2] * deeper,
        upsample_kernel_size=[2] * deeper,
        filters=channels,
        norm_name=("BATCH", {"affine": True}),
        act_name=("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
        res_block=True,
    )
    return network


def _standard(channels: list[int]) -> nn.Module:
    network: nn.Module = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        channels=channels,
        strides=[2] * (len(channels) - 1),
        num_res_units=2,
        norm="BATCH",
    )
    return network
