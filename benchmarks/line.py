"""Seconds and memory of the line by stage, as a table in Markdown: `make bench`.

Every run is a process of its own, as for a user, so that memory is that of one study and nothing is warm but the disk.
The phantom is always measured; the real scans are where `LUNG_NODULES_DATA` (or `../shared/data`) holds them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("LUNG_NODULES_DATA", REPOSITORY.parent / "shared" / "data"))
PROGRAMS = {"lung-nodules exec": ["-m", "lung_nodules", "exec"], "python .": [str(REPOSITORY)]}

# One run of the line in a fresh process; prints what the stopwatch kept.
ONE_RUN = """
import json, sys
from pathlib import Path
from lung_nodules.execution import Order, execute
from lung_nodules.pipeline import run
kept = {}
def line(task):
    run(task)
    kept.update(seconds=task.watch.seconds, peak_mib=task.watch.peak_mib)
code = execute(Order(*map(Path, sys.argv[1:4]), log_level="ERROR"), line)
print(json.dumps(kept))
sys.exit(code)
"""


@dataclass(frozen=True)
class Measurement:
    """Medians over the runs on one study."""

    study: str
    seconds: dict[str, float]  # by stage
    peak_mib: dict[str, float]  # of the process, up to the end of each stage
    wall_s: dict[str, float]  # by program, start-up included


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each study and program (default: 3)")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        studies = {"phantom": _write_phantom(Path(scratch) / "phantom")} | _real_scans()
        measured = [
            _measure(name, folder, arguments.models, Path(scratch) / "out", arguments.runs)
            for name, folder in studies.items()
        ]
    _print_table(measured, arguments.runs)


def _write_phantom(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "lung_nodules", "phantom", folder], check=True, stdout=subprocess.DEVNULL)
    return folder / "dicom"


def _real_scans() -> dict[str, Path]:
    return {path.name: path for path in sorted((DATA / "lidc-scans").glob("LIDC-IDRI-*")) if path.is_dir()}


def _measure(name: str, study: Path, models: Path, output: Path, num_runs: int) -> Measurement:
    stages: list[dict[str, dict[str, float]]] = []
    walls: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    for _ in range(num_runs):
        sys.stderr.write(f"{name} ...\n")
        printed = _run(["-c", ONE_RUN, str(study), str(output), str(models)])
        stages.append(json.loads(printed))
        for program, arguments in PROGRAMS.items():
            begun = time.perf_counter()
            _run([*arguments, "-i", str(study), "-o", str(output), "-m", str(models), "-l", "ERROR"])
            walls[program].append(time.perf_counter() - begun)
    names = list(stages[0]["seconds"])
    return Measurement(
        study=name,
        seconds={stage: statistics.median(run["seconds"][stage] for run in stages) for stage in names},
        peak_mib={stage: statistics.median(run["peak_mib"][stage] for run in stages) for stage in names},
        wall_s={program: statistics.median(values) for program, values in walls.items()},
    )


def _run(arguments: list[str]) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def _print_table(measured: list[Measurement], num_runs: int) -> None:
    lines = [
        f"{_machine()}; median of {num_runs} runs. Seconds, and peak memory of the process up to the end of the stage.",
        "",
        "| stage | " + " | ".join(each.study for each in measured) + " |",
        "| --- |" + " ---: |" * len(measured),
    ]
    for stage in measured[0].seconds:
        cells = (f"{each.seconds[stage]:.1f} s, {each.peak_mib[stage] / 1024:.1f} GiB" for each in measured)
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    for program in PROGRAMS:
        lines.append(f"| **`{program}`** | " + " | ".join(f"{each.wall_s[program]:.1f} s" for each in measured) + " |")
    sys.stdout.write("\n".join(lines) + "\n")


def _machine() -> str:
    cpu = platform.processor() or platform.machine()
    for row in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if row.startswith("model name"):
            cpu = row.split(":", 1)[1].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
