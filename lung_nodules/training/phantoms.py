"""Synthetic chests as training backgrounds: lungs with vessels and airways that surely hold no nodule."""

from __future__ import annotations

import json
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.training.backgrounds import Background, BackgroundSettings, read_backgrounds


def phantom_backgrounds(num: int, spacing_mm: float) -> tuple[Background, ...]:
    """Draw chests without nodules, each by its own seed, and read them as training scans are read."""
    names = (name for name in (f"PHANTOM-{number:03d}" for number in count()) if split_of(name) is Split.TRAIN)
    with TemporaryDirectory() as folder:
        for seed, name in enumerate(islice(names, num)):
            write_phantom(Path(folder) / name, PhantomSettings(nodules=(), seed=seed))
        (Path(folder) / "reference.json").write_text(json.dumps({"scans": {}}), encoding="utf-8")
        return read_backgrounds(Path(folder), BackgroundSettings(spacing_mm=spacing_mm))
