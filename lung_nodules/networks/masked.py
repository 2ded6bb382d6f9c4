"""Masked autoencoding: a Vision Transformer learns what lung looks like by filling in blocks that it is not shown.

The plain ViT learns as MONAI's `MaskedAutoEncoderViT` (He 2022, arXiv 2111.06377): it is fed the tokens that are left.
A convolutional encoder cannot leave tokens out, so the hybrid learns as SimMIM does (Xie 2022, arXiv 2111.09886):
hidden blocks are filled with one learned value, and a linear layer predicts their voxels from the tokens there. Both
give the error on what was hidden, and hand the trained part on under the names of the network that classifies.
"""

from __future__ import annotations

import torch
from einops import rearrange
from monai.networks.nets.masked_autoencoder_vit import MaskedAutoEncoderViT
from torch import Tensor, nn

from lung_nodules.networks.record import Architecture
from lung_nodules.networks.vit import HybridViT

DECODER_LAYERS = 2


class MaskedHybrid(nn.Module):
    """SimMIM for the hybrid ViT.

    Args:
        trunk: What is pre-trained; its head is taken off.
        masked_share: Share of the blocks that are hidden.
    """

    def __init__(self, trunk: HybridViT, masked_share: float) -> None:
        super().__init__()
        self.decode = nn.Linear(trunk.project.out_features, trunk.token_voxels**3)
        self.trunk, self.masked_share = trunk, masked_share
        self.trunk.head = nn.Identity()  # it learns nothing here
        self.fill = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        """From cubes (N, 1, S, S, S), 0-1, to the mean absolute error over the hidden voxels of each, (N,)."""
        voxels = self.trunk.token_voxels
        hidden = hidden_blocks(len(image), (image.shape[-1] // voxels) ** 3, self.masked_share).to(image.device)
        there = _spread(hidden, voxels)
        given = image * (1 - there) + self.fill * there
        predicted = self.decode(self.trunk.tokens(given)[:, 1:])
        return masked_error((predicted.float() - blocks(image, voxels)).abs(), hidden)

    def trained(self) -> dict[str, Tensor]:
        """The pre-trained tensors by their names in `HybridViT`."""
        return without_head(self.trunk)


class MaskedPlain(nn.Module):
    """MONAI's masked autoencoder for the plain ViT.

    Args:
        architecture: Of the plain ViT that is to be pre-trained.
        masked_share: Share of the tokens that are left out.
    """

    def __init__(self, architecture: Architecture, masked_share: float) -> None:
        super().__init__()
        shape = architecture.arguments
        self.token_voxels, self.num_layers = int(shape["token_voxels"]), int(shape["num_layers"])
        self.autoencoder = MaskedAutoEncoderViT(
            in_channels=1,
            img_size=(shape["patch_voxels"],) * 3,
            patch_size=(shape["token_voxels"],) * 3,
            hidden_size=shape["hidden_size"],
            mlp_dim=2 * shape["hidden_size"],
            num_layers=shape["num_layers"],
            num_heads=shape["num_heads"],
            masking_ratio=masked_share,
            decoder_hidden_size=shape["hidden_size"],
            decoder_mlp_dim=2 * shape["hidden_size"],
            decoder_num_layers=DECODER_LAYERS,
            decoder_num_heads=shape["num_heads"],
            pos_embed_type="learnable",  # as MONAI's `ViT`, which takes over the embedding
            decoder_pos_embed_type="learnable",  # MONAI loses the gradient switch of its sine embedding
        )

    def forward(self, image: Tensor) -> Tensor:
        """From cubes (N, 1, S, S, S), 0-1, to the mean squared error over the hidden voxels of each, (N,)."""
        with torch.autocast(image.device.type, enabled=False):  # MONAI writes tokens into a float32 tensor
            predicted, hidden = self.autoencoder(image.float())
            return masked_error((predicted - blocks(image.float(), self.token_voxels)) ** 2, hidden)

    def trained(self) -> dict[str, Tensor]:
        """The pre-trained tensors by their names in `PlainViT`."""
        tensors = {}
        last = f"blocks.{self.num_layers}."  # MONAI's closing LayerNorm
        for name, tensor in self.autoencoder.state_dict().items():
            if name.startswith(("patch_embedding.", "blocks.", "cls_token")):
                tensors["vit." + (f"norm.{name.removeprefix(last)}" if name.startswith(last) else name)] = tensor
        return tensors


def without_head(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a classifying ViT but those of its last layer."""
    heads = ("head.", "vit.classification_head.")
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(heads)}


def hidden_blocks(num_cubes: int, num_blocks: int, share: float) -> Tensor:
    """Which blocks of each cube are hidden, float (cubes, blocks), 1 where hidden: `share` of them, drawn by torch."""
    count = min(max(round(share * num_blocks), 1), num_blocks - 1)
    order = torch.rand(num_cubes, num_blocks).argsort(dim=1)
    return (order < count).float()


def blocks(image: Tensor, voxels: int) -> Tensor:
    """Cubes (N, 1, S, S, S) as their blocks (N, (S / voxels) ** 3, voxels ** 3), in the order of the tokens."""
    return rearrange(image, "n 1 (d a) (h b) (w c) -> n (d h w) (a b c)", a=voxels, b=voxels, c=voxels)


def masked_error(error: Tensor, hidden: Tensor) -> Tensor:
    """The mean error over the hidden blocks of each cube: (N, blocks, voxels) and (N, blocks) to (N,)."""
    return (error.mean(dim=2) * hidden).sum(dim=1) / hidden.sum(dim=1).clamp(min=1)


def _spread(hidden: Tensor, voxels: int) -> Tensor:
    """Blocks (N, blocks) as voxels (N, 1, S, S, S)."""
    side = round(hidden.shape[1] ** (1 / 3))
    grid = hidden.reshape(-1, 1, side, side, side)
    return nn.functional.interpolate(grid, scale_factor=voxels, mode="nearest")
