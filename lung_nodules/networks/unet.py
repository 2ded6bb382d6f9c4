"""The U-Nets that find (the finder) and outline (the outliner): one class of network, two sets of weights.

All variants are MONAI's. All but `standard` are its `DynUNet` with a first level of stride 1, which keeps features at
full resolution: a 4 mm nodule is four voxels wide at 1 mm, and a first layer of stride 2 halves that.

| variant | blocks | normalisation |
| --- | --- | --- |
| residual | residual, one of two 3 x 3 x 3 convolutions a level | batch: runs faster on CPUs, a runtime folds it away |
| residual-instance | the same | instance: the same for any batch, and what nnU-Net uses |
| separable | the same, the convolutions depthwise-separable | batch |
| nnunet | two plain convolutions a level: nnU-Net's plan (`NNUNET_CHANNELS`) | instance |
| standard | MONAI's `UNet`, two residual units a level, first stride 2 | batch |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.unet import UNet
from torch import nn

from lung_nodules.networks.separable import separate

Variant = Literal["residual", "residual-instance", "standard", "separable", "nnunet"]
BACKGROUND_LOGIT = -3.0

# What nnU-Net plans for cubes of 48 voxels (Isensee 2021, 10.1038/s41592-020-01008-z): 32 channels at full resolution,
# doubled a level, and levels as long as an edge of at least 4 voxels is left: 48, 24, 12, 6.
NNUNET_CHANNELS = (32, 64, 128, 256)


def build_unet(variant: Variant, channels: Sequence[int], deep_supervision: bool = False) -> nn.Module:
    """Build a 3D U-Net from one channel to one logit per voxel.

    Args:
        variant: See the module.
        channels: Feature channels a level, finest first.
        deep_supervision: While it trains, the network also returns the logits of its coarser levels, brought to full
            resolution: (N, outputs, 1, D, H, W), finest first. In evaluation the output is as without.

    Returns:
        A module from float (N, 1, D, H, W) to logits of the same shape. D, H and W must be multiples of
        ``2 ** (levels - 1)``.

    Raises:
        ValueError: The variant is not known, or cannot have deep supervision.
    """
    if variant not in get_args(Variant):
        raise ValueError(f"no U-Net of the variant {variant!r}")
    if variant == "standard":
        if deep_supervision:
            raise ValueError("the standard U-Net has no deep supervision")
        return _standard(list(channels))
    network = _full_resolution(variant, list(channels), deep_supervision)
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.out_channels == 1 and module.bias is not None:
            nn.init.constant_(module.bias, BACKGROUND_LOGIT)  # nodules are rare: start from "nothing here"
    return network


def _full_resolution(variant: Variant, channels: list[int], deep_supervision: bool) -> nn.Module:
    deeper = len(channels) - 1
    norm = "INSTANCE" if variant in ("residual-instance", "nnunet") else "BATCH"
    network: nn.Module = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        kernel_size=[3] * len(channels),
        strides=[1] + [2] * deeper,
        upsample_kernel_size=[2] * deeper,
        filters=channels,
        norm_name=(norm, {"affine": True}),
        act_name=("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
        deep_supervision=deep_supervision,
        deep_supr_num=max(deeper - 1, 1),
        res_block=variant != "nnunet",
    )
    if variant == "separable":
        separate(network)
        network.apply(DynUNet.initialize_weights)
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
