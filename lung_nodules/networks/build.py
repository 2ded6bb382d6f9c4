"""From a record to a network: the only place that knows every architecture by name."""

from __future__ import annotations

import torch
from torch import nn

from lung_nodules.errors import ModelRefusal
from lung_nodules.networks.imagenet import PlanesViT
from lung_nodules.networks.record import Architecture, Model, tensors_of
from lung_nodules.networks.unet import build_unet
from lung_nodules.networks.vit import HybridViT, PlainViT


def build_network(architecture: Architecture) -> nn.Module:
    """Build a network with random weights.

    Raises:
        ModelRefusal: ``model-unsupported`` where this version does not know the architecture or its arguments.
    """
    try:
        match architecture.name:
            case "unet":
                return build_unet(**architecture.arguments)
            case "hybrid-vit":
                return HybridViT(**architecture.arguments)
            case "plain-vit":
                return PlainViT(**architecture.arguments)
            case "imagenet-vit":
                return PlanesViT(**architecture.arguments)
    except (TypeError, ValueError) as error:
        raise ModelRefusal(
            "model-unsupported", f"This version cannot build {architecture.name} with the record's arguments."
        ) from error
    raise ModelRefusal("model-unsupported", f"This version does not know the architecture {architecture.name!r}.")


def channels_last(network: nn.Module) -> nn.Module:
    """The network with its weights in the memory format that runs fastest on CPUs and tensor cores.

    A network with kernels for planes stays as it is: the format is one of cubes.
    """
    if any(parameter.dim() == 4 for parameter in network.parameters()):
        return network
    formatted: nn.Module = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return formatted


def load_network(model: Model) -> nn.Module:
    """Build a model's network and load its weights, ready for inference.

    Raises:
        ModelRefusal: ``model-unsupported`` where the weights do not fit the architecture.
    """
    from safetensors.torch import load_file

    network, weights = build_network(model.record.architecture), load_file(model.weights)
    own = tensors_of(network)
    if {name: tensor.shape for name, tensor in own.items()} != {name: tensor.shape for name, tensor in weights.items()}:
        raise ModelRefusal(
            "model-unsupported", f"The weights of {model.record.name} do not fit the architecture in its record."
        )
    network.load_state_dict(weights, strict=False)  # names of modules that stand in two places are not repeated
    return network.eval()
