"""What a classifier's training starts from: the outliner's encoder, a pre-trained one, or another classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lung_nodules.networks.build import build_network, channels_last, load_network
from lung_nodules.networks.imagenet import IMAGENET_VIT, PlanesViT, read_pretrained
from lung_nodules.networks.masked import without_head
from lung_nodules.networks.record import Architecture, load_model
from lung_nodules.networks.vit import HybridViT
from lung_nodules.training import pretraining
from lung_nodules.training.classifier_shape import ClassifierShape, architecture


@dataclass(frozen=True)
class ClassifierStart:
    """Where the first weights come from; what comes later in the list wins."""

    outliner: nn.Module | None = None  # the hybrid takes its encoder
    pretrained: str | None = None  # hub id or folder of the ImageNet encoder; IMAGENET_VIT by default
    initial: Path | None = None  # folder of a pre-trained encoder, or a classification model: all but its head

    def build(self, shape: ClassifierShape) -> tuple[nn.Module, Architecture]:
        """The network with its first weights, always the same for the same seed, and how it stands in the record.

        Raises:
            UsageRefusal: ``pretrained-unreadable`` or ``initial-unfit``.
            ModelRefusal: The initial folder cannot be read.
        """
        torch.manual_seed(shape.loop.seed)
        if shape.encoder == "imagenet":
            network, described = self._on_imagenet(shape)
        else:
            described = architecture(shape)
            network = build_network(described)
        if self.outliner is not None and isinstance(network, HybridViT):
            network.encoder.load_unet(self.outliner)
        if self.initial is not None:
            _load_initial(self.initial, network)
        return channels_last(network), described

    def _on_imagenet(self, shape: ClassifierShape) -> tuple[nn.Module, Architecture]:
        config, tensors = read_pretrained(self.pretrained or IMAGENET_VIT)
        described = architecture(shape, config)
        network = build_network(described)
        assert isinstance(network, PlanesViT)
        network.encoder.load_state_dict(tensors)
        return network, described


def _load_initial(folder: Path, network: nn.Module) -> None:
    if (folder / pretraining.RECORD_FILE).is_file():
        pretraining.load_encoder(folder, network)
    else:
        pretraining.give_trunk(network, without_head(load_network(load_model(folder))))
