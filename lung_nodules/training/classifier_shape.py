"""Which Vision Transformer is taught: what classification and its pre-training have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from lung_nodules.networks.build import build_network
from lung_nodules.networks.record import Architecture
from lung_nodules.stages.classification import RATING_SCALES
from lung_nodules.training.loop import TrainingSettings
from lung_nodules.training.unet_settings import Channels

OUTPUTS = ("nodule", "malignancy", *RATING_SCALES)


class ClassifierShape(TrainingSettings):
    """What decides the network; the ImageNet encoder's shape is that of its weights."""

    encoder: Literal["hybrid", "plain", "imagenet"] = Field(
        default="hybrid",
        description="hybrid: on the outliner's encoder; plain: on voxels; imagenet: a 2D ViT on three planes.",
    )
    channels: Channels = Field(default=(16, 32, 64, 128), description="Of the hybrid's encoder.")
    token_voxels: int = Field(default=8, ge=2, description="Of the plain ViT.")
    hidden_size: int = Field(default=128, ge=8)
    num_layers: int = Field(default=4, ge=1)
    num_heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)


def architecture(shape: ClassifierShape, imagenet_config: dict[str, int] | None = None) -> Architecture:
    """The network as it stands in the record.

    Args:
        shape: See `ClassifierShape`.
        imagenet_config: Of the pre-trained ViT where that is the encoder; None is ViT-B/16's.
    """
    size = {"patch_voxels": shape.cube.voxels, "num_outputs": len(OUTPUTS)}
    if shape.encoder == "imagenet":
        return Architecture(name="imagenet-vit", arguments={**size, "config": imagenet_config or {}})
    own = {"token_voxels": shape.token_voxels} if shape.encoder == "plain" else {"channels": list(shape.channels)}
    return Architecture(
        name=f"{shape.encoder}-vit",
        arguments={
            **own,
            **size,
            "hidden_size": shape.hidden_size,
            "num_layers": shape.num_layers,
            "num_heads": shape.num_heads,
            "dropout": shape.dropout,
        },
    )


def build_classifier(shape: ClassifierShape) -> nn.Module:
    """The network that the settings describe, with random weights."""
    return build_network(architecture(shape))
