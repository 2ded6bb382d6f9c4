"""Two real processes (gloo, CPU) learn what one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks_worker import SETTINGS
from torch import nn

from lung_nodules.errors import UsageRefusal
from lung_nodules.progress import SilentProgress
from lung_nodules.training.loop import fit, start_run

WORKER = Path(__file__).with_name("ranks_worker.py")
ROOT = Path(__file__).resolve().parents[2]


def teach(folder: Path, *, num_ranks: int) -> list[dict[str, Any]]:
    folder.mkdir()
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_ranks)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *(torchrun if num_ranks > 1 else []), str(WORKER), str(folder)]
    subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=300)
    return [torch.load(folder / f"rank-{number}.pt", weights_only=True) for number in range(num_ranks)]


@pytest.mark.slow
def test_two_ranks_learn_what_one_process_learns(tmp_path: Path) -> None:
    (alone,) = teach(tmp_path / "one", num_ranks=1)
    first, second = teach(tmp_path / "two", num_ranks=2)

    assert alone["drawn"] == list(range(SETTINGS.steps * 4))
    assert set(first["drawn"]).isdisjoint(second["drawn"])
    assert sorted(first["drawn"] + second["drawn"]) == alone["drawn"]
    assert first["drawn"][:4] == [0, 1, 4, 5]
    for name, weights in alone["state"].items():
        assert torch.equal(first["state"][name], second["state"][name])
        torch.testing.assert_close(first["state"][name], weights, atol=1e-4, rtol=1e-3)
    lines = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("one", "two")]
    assert len(lines[0]) == len(lines[1]) == 3


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"accumulate": 3})
    run = start_run(nn.Linear(1, 1), settings)
    with pytest.raises(UsageRefusal, match="batch of 4 cannot be shared by 3"):
        fit(run, [], None, None, settings, tmp_path, SilentProgress())  # type: ignore[arg-type]
