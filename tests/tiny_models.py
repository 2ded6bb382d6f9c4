"""Models that run in milliseconds: real networks of a few thousand weights.

The finder and the outliner have learned, in a second, to mark what is brighter than lung, so that they find and outline
a nodule of a synthetic study. The classifier has learned nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from lung_nodules.networks.build import build_network
from lung_nodules.networks.record import Architecture, write_model

WINDOW_HU = (-1000.0, 400.0)
TISSUE = 0.45  # scaled HU: -370
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
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network would only wait for a second one
    write_model(folder / "detection", _brightness_unet(), _record("detection", UNET, 4.0, 32))
    write_model(folder / "segmentation", _brightness_unet(), _record("segmentation", UNET, 2.0, 24))
    classifier = build_network(Architecture.model_validate(VIT))
    head = {"inputs": ["image.nodule"], "mean": [0], "scale": [1], "weights": [1], "intercept": 0}
    record = _record("classification", VIT, 2.0, 16) | {
        "outputs": ["nodule", "spiculation"],
        "operating_points": {"default": {"threshold": 0.0, "false_positives_per_scan": 2.0, "chosen_on": "nothing"}},
        "heads": {"nodule": head, "suspicion": {**head, "inputs": ["image.spiculation"]}},
    }
    write_model(folder / "classification", classifier, record)
    torch.set_num_threads(threads)


def _brightness_unet() -> nn.Module:
    """A U-Net that was shown blobs of noise, and marks what is above `TISSUE`."""
    network = build_network(Architecture.model_validate(UNET))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        noise = nn.functional.avg_pool3d(torch.rand(4, 1, 20, 20, 20), 5, stride=1)
        image = ((noise - 0.5) * 6 + TISSUE).clamp(0, 1)
        loss = nn.functional.binary_cross_entropy_with_logits(network(image), (image > TISSUE).float())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


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
        "operating_points": {"default": {"threshold": 0.5, "chosen_on": "nothing"}},
        "default_operating_point": "default",
        "data": {"cohorts": [], "num_patients": 0, "num_examples": 0, "split": "none", "licence": "none"},
        "training": {},
        "scores": [],
        "git_commit": "0" * 40,
    }
