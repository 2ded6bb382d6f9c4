"""The Vision Transformers that say what a candidate is.

`HybridViT` is the hybrid of Dosovitskiy 2020 (arXiv 2010.11929, section 3.1): its tokens are the deepest feature map
of a convolutional encoder, here the outliner's, which has learned from every outline what tissue looks like.
`PlainViT` is MONAI's `ViT`, whose tokens are linear projections of voxels. Both end in the same output.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks.transformerblock import TransformerBlock
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.vit import ViT
from torch import Tensor, nn

from lung_nodules.networks.starting import check_alike
from lung_nodules.networks.unet import build_unet


class ConvolutionalEncoder(nn.Module):
    """The descending half of the residual U-Net.

    Args:
        channels: Feature channels a level, finest first.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        unet = build_unet("residual", channels)
        assert isinstance(unet, DynUNet)
        self.levels = nn.ModuleList([unet.input_block, *unet.downsamples, unet.bottleneck])

    def forward(self, image: Tensor) -> Tensor:
        """From (N, 1, D, H, W) to the deepest features (N, channels[-1], D/s, H/s, W/s), s = 2 ** (levels - 1)."""
        features = image
        for level in self.levels:
            features = level(features)
        return features

    def load_unet(self, unet: nn.Module) -> None:
        """Take the weights of a trained residual U-Net of the same channels.

        Raises:
            UsageRefusal: ``initial-unfit`` where it is another network.
        """
        levels = [unet.input_block, *unet.downsamples, unet.bottleneck] if isinstance(unet, DynUNet) else []
        given = nn.ModuleList(levels).state_dict()
        check_alike(self.levels.state_dict(), given, "The hybrid starts from a residual U-Net of the same channels.")
        self.levels.load_state_dict(given)


class HybridViT(nn.Module):
    """A Transformer over the feature map of a convolutional encoder.

    Args:
        patch_voxels: Side of the cube that is fed in.
        channels: Channels of the encoder, finest first.
        hidden_size: Width of a token.
        num_layers: Transformer blocks.
        num_heads: Attention heads.
        num_outputs: Logits that come out.
        dropout: Dropout in the blocks.
    """

    def __init__(
        self,
        patch_voxels: int,
        channels: Sequence[int],
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        num_outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.token_voxels = 2 ** (len(channels) - 1)
        side = patch_voxels // self.token_voxels
        self.encoder = ConvolutionalEncoder(channels)
        self.project = nn.Linear(channels[-1], hidden_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, hidden_size))
        self.position = nn.Parameter(torch.zeros(1, side**3, hidden_size))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(
            TransformerBlock(hidden_size, 2 * hidden_size, num_heads, dropout_rate=dropout, qkv_bias=True)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.head: nn.Module = nn.Linear(hidden_size, num_outputs)

    def tokens(self, image: Tensor) -> Tensor:
        """From cubes (N, 1, D, H, W) to the last block's tokens (N, 1 + tokens, hidden_size), class token first."""
        tokens = self.project(self.encoder(image).flatten(2).transpose(1, 2)) + self.position
        tokens = torch.cat([self.class_token.expand_as(tokens[:, :1]), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        normal: Tensor = self.norm(tokens)
        return normal

    def forward(self, image: Tensor) -> Tensor:
        """From cubes (N, 1, D, H, W) to logits (N, num_outputs)."""
        logits: Tensor = self.head(self.tokens(image)[:, 0])
        return logits


class PlainViT(nn.Module):
    """MONAI's 3D ViT with a linear head on its class token.

    Args:
        patch_voxels: Side of the cube that is fed in.
        token_voxels: Side of the block of voxels that becomes a token.
        hidden_size: Width of a token.
        num_layers: Transformer blocks.
        num_heads: Attention heads.
        num_outputs: Logits that come out.
        dropout: Dropout in the blocks.
    """

    def __init__(
        self,
        patch_voxels: int,
        token_voxels: int,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        num_outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.vit = ViT(
            in_channels=1,
            img_size=(patch_voxels,) * 3,
            patch_size=(token_voxels,) * 3,
            hidden_size=hidden_size,
            mlp_dim=2 * hidden_size,
            num_layers=num_layers,
            num_heads=num_heads,
            classification=True,
            num_classes=num_outputs,
            dropout_rate=dropout,
            post_activation=None,  # MONAI's default is a tanh, which would bound the logits
        )

    def forward(self, image: Tensor) -> Tensor:
        """From cubes (N, 1, D, H, W) to logits (N, num_outputs)."""
        logits: Tensor = self.vit(image)[0]
        return logits
