"""Variants side by side on the tiny cohort: every figure is there, and what has been taught is not taught again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_cohort import write_tiny_crops, write_tiny_scans
from typer.testing import CliRunner

from lung_nodules.cli import app
from lung_nodules.errors import UsageRefusal

TINY = ["channels=[4, 8, 8]", "cube.voxels=16", "cube.spacing_mm=3.0", "loop.batch_size=2", "loop.num_workers=0"]


def run(root: Path, *variants: str) -> str:
    command = ["train", "compare", "--crops", str(root / "crops"), "--scans", str(root / "scans"), "--steps", "3"]
    for assignment in TINY:
        command += ["--set", assignment]
    for variant in variants:
        command += ["--variant", variant]
    result = CliRunner().invoke(app, [*command, "--run", str(root / "run")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.training
def test_variants_are_compared_and_kept(tmp_path: Path) -> None:
    write_tiny_crops(tmp_path / "crops")
    write_tiny_scans(tmp_path / "scans")
    run(tmp_path, "separable")
    weights = tmp_path / "run" / "separable" / "models" / "segmentation" / "weights.safetensors"
    taught = weights.stat().st_mtime_ns
    table = [line for line in run(tmp_path, "separable", "residual").splitlines() if line.startswith("| ")]
    assert weights.stat().st_mtime_ns == taught
    cells = {row[1]: row for row in ([cell.strip() for cell in line.split("|")] for line in table[2:])}
    assert list(cells) == ["residual", "separable"]
    assert int(cells["separable"][3].replace(",", "")) < int(cells["residual"][3].replace(",", "")) / 2
    assert all(0 <= float(row[4].split()[0]) <= 1 and float(row[5]) > 0 < float(row[6]) for row in cells.values())
    assert (tmp_path / "run" / "comparison.md").read_text(encoding="utf-8").startswith("| variant |")


def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    command = ["train", "compare", "--crops", str(tmp_path), "--scans", str(tmp_path), "--variant", "huge"]
    with pytest.raises(UsageRefusal, match="no variant 'huge'"):
        CliRunner().invoke(app, command, catch_exceptions=False)
