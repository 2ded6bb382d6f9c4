"""A Vision Transformer that has learned from photographs, looking at three planes through a nodule.

The ViT is that of Dosovitskiy 2020 (arXiv 2010.11929) as `transformers` has it; its weights are those of a hub id such
as ``google/vit-base-patch16-224`` or of a local folder in that format. It is fed one picture a cube: the axial, coronal
and sagittal plane through the middle are its red, green and blue, as in the 2.5D networks of Roth 2014
(10.1007/978-3-319-10404-1_65).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lung_nodules.errors import ModelRefusal, UsageRefusal

IMAGENET_VIT = "google/vit-base-patch16-224"
CONFIGURED = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "image_size",
    "patch_size",
)
_MIDDLE, _SPREAD = 0.5, 0.5  # how the pictures of that ViT were scaled


class PlanesViT(nn.Module):
    """A 2D ViT on three orthogonal planes, with a linear head on its class token.

    Args:
        patch_voxels: Side of the cube that is fed in.
        num_outputs: Logits that come out.
        config: Of the ViT, by the names in `CONFIGURED`; `transformers`' defaults are those of ViT-B/16.

    Raises:
        ModelRefusal: ``library-missing`` where `transformers` is not installed.
    """

    def __init__(self, patch_voxels: int, num_outputs: int, config: dict[str, int]) -> None:
        super().__init__()
        library = _transformers()
        full = library.ViTConfig(**config)
        self.patch_voxels, self.image_size = patch_voxels, int(full.image_size)
        self.encoder = library.ViTModel(full, add_pooling_layer=False)
        self.head = nn.Linear(int(full.hidden_size), num_outputs)

    def forward(self, image: Tensor) -> Tensor:
        """From cubes (N, 1, D, H, W), 0-1, to logits (N, num_outputs)."""
        picture = nn.functional.interpolate(
            planes(image), size=(self.image_size,) * 2, mode="bilinear", align_corners=False
        )
        tokens = self.encoder((picture - _MIDDLE) / _SPREAD).last_hidden_state
        logits: Tensor = self.head(tokens[:, 0])
        return logits


def planes(image: Tensor) -> Tensor:
    """The axial, coronal and sagittal plane through the middle of cubes: (N, 1, S, S, S) to (N, 3, S, S).

    A side has an even number of voxels, so its middle lies between two of them: their mean.
    """
    low, high = (image.shape[-1] - 1) // 2, image.shape[-1] // 2 + 1
    cube = image[:, 0]
    return torch.stack(
        [cube[:, low:high].mean(1), cube[:, :, low:high].mean(2), cube[:, :, :, low:high].mean(3)], dim=1
    )


def read_pretrained(hub_id_or_folder: str) -> tuple[dict[str, int], dict[str, Tensor]]:
    """The configuration and the weights of a ViT: what `PlanesViT` is built with and what its encoder loads.

    Args:
        hub_id_or_folder: Such as `IMAGENET_VIT`, or a folder with `config.json` and `model.safetensors`.

    Raises:
        ModelRefusal: ``library-missing`` where `transformers` is not installed.
        UsageRefusal: ``pretrained-unreadable`` where it is not found, or is no ViT.
    """
    library = _transformers()
    try:
        model, read = library.ViTModel.from_pretrained(
            hub_id_or_folder, add_pooling_layer=False, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable() from error
    if read["missing_keys"]:  # another network's
        raise _unreadable()
    return {name: int(getattr(model.config, name)) for name in CONFIGURED}, model.state_dict()


def _unreadable() -> UsageRefusal:
    return UsageRefusal(
        "pretrained-unreadable",
        "The pre-trained Vision Transformer was not found or cannot be read.",
        "Name a hub id such as google/vit-base-patch16-224 or, where no hub can be reached, a local folder.",
    )


def _transformers() -> Any:
    try:
        import transformers  # of the training extra, and slow to import
    except ImportError as error:
        raise ModelRefusal(
            "library-missing", "A model on an ImageNet encoder needs the library transformers, which is not installed."
        ) from error
    return transformers
