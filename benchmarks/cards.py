"""Measures the committed models on the test patients and renews the figures that the documents quote.

`make cards` runs the two evaluations of the model cards (about twenty minutes on two cores), keeps what they measured
in docs/figures and writes it into README.md and docs/*.md. With --quote nothing is measured: only the texts change.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from lung_nodules.evaluation.quoting import quote_figures

REPOSITORY = Path(__file__).resolve().parents[1]
FIGURES = REPOSITORY / "docs" / "figures"


def measure(data: Path) -> None:
    """Evaluate on the crops, pasted into the test scans too, and on the test scans themselves."""
    scans = data / "lidc-scans"
    run("crops", "--cohort", "crops", data / "lidc-nodules", "--lungs", scans)
    run("scans", "--cohort", "scans", scans)


def run(name: str, *arguments: str | Path) -> None:
    """One evaluation; its figures go to docs/figures, its report to out/evaluation."""
    output = REPOSITORY / "out" / "evaluation" / name
    command = ["-m", "lung_nodules", "evaluate", *arguments, "--json", FIGURES / f"{name}.json", "--output", output]
    subprocess.run([sys.executable, *map(str, command)], check=True, cwd=REPOSITORY)


def quote() -> None:
    """Write the measured figures into the texts that quote them."""
    documents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FIGURES.glob("*.json")}
    for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        renewed = quote_figures(text, documents)
        if renewed != text:
            path.write_text(renewed, encoding="utf-8")
            print(path.relative_to(REPOSITORY))  # noqa: T201  # what a user of the target sees


def main() -> None:
    """Parse the command line, measure, quote."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data", help="lidc-nodules, -scans")
    parser.add_argument("--quote", action="store_true", help="measure nothing, renew the texts")
    given = parser.parse_args()
    FIGURES.mkdir(parents=True, exist_ok=True)
    if not given.quote:
        measure(given.data)
    quote()


if __name__ == "__main__":
    main()
