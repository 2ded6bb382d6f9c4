"""One rank of `test_ranks.py`: teaches a small U-Net with batch normalisation on the numbered examples."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from lung_nodules.networks.unet import build_unet
from lung_nodules.progress import SilentProgress
from lung_nodules.training.loop import LoopSettings, TensorBatch, fit, start_run
from lung_nodules.training.ranks import joined_ranks
from lung_nodules.training.segmentation import outline_loss

STEPS = 6
SETTINGS = LoopSettings(
    steps=STEPS,
    batch_size=4,
    learning_rate=1e-3,
    warmup_steps=1,
    num_workers=0,
    precision="fp32",
    validate_every=2,
    ema_decay=0.5,
    best_figure="turn",
    device="cpu",
)


class Blobs(Dataset[TensorBatch]):
    """Noise with a bright ball; every example has another number of known voxels. Notes which numbers were drawn."""

    def __init__(self) -> None:
        self.drawn: list[int] = []

    def __getitem__(self, number: int) -> TensorBatch:
        self.drawn.append(number)
        noise = torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(number))
        target = torch.zeros_like(noise)
        target[:, 5:11, 5:11, 4 : 8 + number % 4] = 1.0
        known = torch.ones_like(noise)
        known[:, : number % 7] = 0.0
        return {"image": noise * 0.3 + target * 0.5, "target": target, "known": known}


def main(folder: Path) -> None:
    """Train, and leave this rank's numbers and the first rank's weights."""
    torch.set_num_threads(1)
    with joined_ranks() as rank:
        torch.manual_seed(0)
        network = build_unet("residual", (4, 8, 8))
        run, examples = start_run(network, SETTINGS), Blobs()
        fit(run, examples, outline_loss(10.0), validate, SETTINGS, folder, SilentProgress())
        left = {"drawn": examples.drawn, "state": network.state_dict(), "kept": run.average.module.state_dict()}
        torch.save(left, folder / f"rank-{rank.number}.pt")


def validate(network: nn.Module) -> dict[str, float]:
    """Judge by nothing: the second of three validations is the best."""
    validate.calls = getattr(validate, "calls", 0) + 1  # type: ignore[attr-defined]
    return {"turn": [1.0, 3.0, 2.0][validate.calls - 1]}  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
