"""Two real processes (gloo, CPU) learn what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks_worker import SETTINGS
from tiny_cohort import write_tiny_crops, write_tiny_scans
from torch import nn

from lung_nodules.errors import UsageRefusal
from lung_nodules.networks.record import load_model
from lung_nodules.progress import SilentProgress
from lung_nodules.training.loop import fit, start_run

WORKER = Path(__file__).with_name("ranks_worker.py")
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def teach(folder: Path, *, num_ranks: int) -> list[dict[str, Any]]:
    folder.mkdir()
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_ranks)]
    command = [sys.executable, *(torchrun if num_ranks > 1 else []), str(WORKER), str(folder)]
    subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    return [torch.load(folder / f"rank-{number}.pt", weights_only=True) for number in range(num_ranks)]


@pytest.mark.training
def test_two_ranks_learn_what_one_process_learns(tmp_path: Path) -> None:
    (alone,) = teach(tmp_path / "one", num_ranks=1)
    first, second = teach(tmp_path / "two", num_ranks=2)

    assert alone["drawn"] == list(range(SETTINGS.steps * 4))
    assert set(first["drawn"]).isdisjoint(second["drawn"])
    assert sorted(first["drawn"] + second["drawn"]) == alone["drawn"]
    assert first["drawn"][:4] == [0, 1, 4, 5]
    for part in ("state", "kept"):
        for name, weights in alone[part].items():
            assert torch.equal(first[part][name], second[part][name])
            torch.testing.assert_close(first[part][name], weights, atol=1e-6, rtol=0)
    assert not torch.equal(*(first[part]["input_block.conv1.conv.weight"] for part in ("state", "kept")))
    one, two = ((tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("one", "two"))
    assert [json.loads(line)["step"] for line in two] == [2, 4, 6]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in (one, two)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.training
def test_ranks_teach_from_the_command_line_and_one_publishes(tmp_path: Path) -> None:
    write_tiny_crops(tmp_path / "crops")
    write_tiny_scans(tmp_path / "scans")
    ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    folders = [f"--{name}={tmp_path / name}" for name in ("crops", "scans", "run", "model")]
    small = ("channels=[4,8,8]", "cube.voxels=16", "cube.spacing_mm=3.0", "loop.batch_size=2", "loop.num_workers=0")
    order = ["lung_nodules", "train", "segmentation", "--steps=3", *folders, *(f"--set={one}" for one in small)]
    done = subprocess.run(
        [sys.executable, *ranks, *order], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    record = load_model(tmp_path / "model" / "segmentation").record
    assert record.training["steps"] == 3
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 1


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"accumulate": 3})
    run = start_run(nn.Linear(1, 1), settings)
    with pytest.raises(UsageRefusal, match="batch of 4 cannot be shared by 3"):
        fit(run, [], None, None, settings, tmp_path, SilentProgress())  # type: ignore[arg-type]
