"""Models that run in milliseconds: real networks of a few thousand weights, nothing learned.

The finder and the outliner answer to brightness, so that vessels and nodules become candidates with outlines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lung_nodules.networks.build import build_network
from lung_nodules.networks.record import Architecture, write_model

WINDOW_HU = (-1000.0, 400.0)
LUNG, SOFT_TISSUE = 0.1, 0.75  # scaled HU
UNET = {"name": "unet", "arguments": {"variant": "standard", "channels": [4, 8, 8]}}
VIT = {
    "name": "hybrid-vit",
    "arguments": {
        "patch_voxels": 16,
        "channels": [4, 8, 8],
        "hidden_size": 16,
        "num_layers": 1,
        "num_heads": 2,
        "num_outputs": 2,
    },
}


def write_tiny_models(folder: Path) -> None:
    """Write `detection/`, `segmentation/` and `classification/`."""
    torch.manual_seed(3)
    write_model(folder / "detection", _bright_unet().state_dict(), _record("detection", UNET, 4.0, 16))
    write_model(folder / "segmentation", _bright_unet().state_dict(), _record("segmentation", UNET, 2.0, 24))
    classifier = build_network(Architecture.model_validate(VIT))
    head = {"inputs": ["image.nodule"], "mean": [0], "scale": [1], "weights": [1], "intercept": 0}
    record = _record("classification", VIT, 2.0, 16) | {
        "outputs": ["nodule", "spiculation"],
        "operating_points": {"default": {"threshold": 0.0, "false_positives_per_scan": 2.0, "chosen_on": "nothing"}},
        "heads": {"nodule": head, "suspicion": {**head, "inputs": ["image.spiculation"]}},
    }
    write_model(folder / "classification", classifier.state_dict(), record)


def _bright_unet() -> nn.Module:
    """A random U-Net whose last layer is scaled so that lung gives a logit of -4 and soft tissue one of 4."""
    network = build_network(Architecture.model_validate(UNET)).eval()
    last = [module for module in network.modules() if isinstance(module, nn.Conv3d)][-1]
    assert last.bias is not None
    with torch.inference_mode():
        dark, bright = (float(network(_even(level))[0, 0, 8, 8, 8]) for level in (LUNG, SOFT_TISSUE))
    with torch.no_grad():
        scale = 8 / (bright - dark)
        last.weight *= scale
        last.bias.copy_((last.bias - dark) * scale - 4)
    return network


def _even(level: float) -> Tensor:
    return torch.full((1, 1, 16, 16, 16), level)


def _record(kind: str, architecture: dict[str, Any], spacing_mm: float, patch_voxels: int) -> dict[str, Any]:
    return {
        "name": f"tiny-{kind}",
        "kind": kind,
        "version": "0",
        "description": "Random weights.",
        "licence": "none",
        "architecture": architecture,
        "preprocessing": {"spacing_mm": spacing_mm, "window_hu": WINDOW_HU, "patch_voxels": patch_voxels},
        "outputs": ["nodule"],
        "operating_points": {},
        "default_operating_point": "default",
        "data": {"cohorts": [], "num_patients": 0, "num_examples": 0, "split": "none", "licence": "none"},
        "training": {},
        "scores": [],
        "git_commit": "0" * 40,
    }
