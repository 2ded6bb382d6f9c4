"""Which U-Net is taught, and from which weights it starts: what the outliner and the finder have in common."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator
from torch import nn

from lung_nodules.networks.starting import check_alike
from lung_nodules.networks.unet import Variant, build_unet
from lung_nodules.training.options import TrainingSettings

# A convolution a level, each half as wide as the one before: MONAI's DynUNet has three or more, and a side of 48
# voxels can be halved four times.
Channels = Annotated[tuple[PositiveInt, ...], Field(min_length=3, max_length=5)]


class UNetTraining(TrainingSettings):
    """What decides the network."""

    variant: Variant = "residual"
    channels: Channels = Field((16, 32, 64, 128), description="A level, finest first.")
    deep_supervision: bool = Field(False, description="Coarser levels learn, too.")

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if self.variant == "standard" and self.deep_supervision:
            raise ValueError("the variant standard has no deep_supervision")
        halvings = len(self.channels) - 1
        if self.cube.voxels % 2**halvings:
            raise ValueError(f"a cube of {self.cube.voxels} voxels cannot be halved {halvings} times, once a level")
        return self


def build_first(settings: UNetTraining, initial: nn.Module | None) -> nn.Module:
    """The network with its first weights: random ones, or those of a network of the same architecture.

    Raises:
        UsageRefusal: ``initial-unfit`` where it is of another one.
    """
    network = build_unet(settings.variant, settings.channels, settings.deep_supervision)
    if initial is not None:
        weights = initial.state_dict()
        check_alike(network.state_dict(), weights, "Choose its variant, channels and deep_supervision with --set.")
        network.load_state_dict(weights)
    return network
