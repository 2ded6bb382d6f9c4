"""Small cohorts for the batch: real studies of a synthetic chest, read by models that run in milliseconds."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import yaml
from pydicom.uid import generate_uid
from tiny_models import write_tiny_models

from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec

SETTINGS = {
    "detection": {"max_candidates": 12, "margin_mm": 0},
    "segmentation": {"num_flips": 1, "largest_cube_mm": 48},
    "classification": {"num_flips": 1},
    "runtime": {"runtime": "torch", "num_threads": 1},
}


@dataclass(frozen=True)
class Bench:
    """Models, settings, and one study to make cohorts of."""

    models: Path
    config: Path
    study: Path

    def batch(self, source: Path | str, output: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start `lung-nodules batch` in a process group of its own."""
        command = [sys.executable, "-m", "lung_nodules", "batch", str(source), "-o", str(output)]
        return subprocess.Popen(
            [*command, "-m", str(self.models), "-c", str(self.config), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", **environment},
        )

    def run(self, source: Path | str, output: Path, *options: str, **environment: str) -> tuple[int, str, str]:
        """Run it to its end: exit code, standard output, standard error."""
        process = self.batch(source, output, *options, **environment)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def add_study(self, folder: Path, **elements: Any) -> str:
        """Put a study of its own into a folder: the one study under new UIDs; gives its Study Instance UID."""
        folder.mkdir(parents=True)
        study_uid, series_uid = generate_uid(), generate_uid()
        for path in sorted(self.study.rglob("*.dcm")):
            dataset = pydicom.dcmread(path)
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            for keyword, value in elements.items():
                setattr(dataset, keyword, value)
            dataset.save_as(folder / path.name)
        return str(study_uid)


def make_bench(folder: Path) -> Bench:
    """A chest of 60 slices of 96 x 96 pixels with one nodule, and what reads it in seconds."""
    write_tiny_models(folder / "models")
    config = folder / "app.yaml"
    config.write_text(yaml.safe_dump({"lung_nodules": SETTINGS}), encoding="utf-8")
    settings = PhantomSettings(
        nodules=(NoduleSpec(diameter_mm=24),),
        num_slices=60,
        slice_spacing_mm=5.0,
        rows=96,
        columns=96,
        pixel_spacing_mm=3.7,
    )
    written = write_phantom(folder / "phantom", settings)
    chosen = folder / "study"
    by_series: dict[str, list[Path]] = {}
    for path in written.dicom_folder.rglob("*"):
        if path.is_file():
            by_series.setdefault(str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID), []).append(path)
    chosen.mkdir()
    for number, path in enumerate(sorted(max(by_series.values(), key=len))):
        shutil.copyfile(path, chosen / f"{number:04d}.dcm")
    return Bench(folder / "models", config, chosen)


def rows_of(output: Path, name: str = "batch") -> dict[str, dict[str, Any]]:
    """The rows of a batch by their source; JSON and CSV must tell the same."""
    rows = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))
    with (output / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        assert [row["study"] for row in csv.DictReader(file)] == [row["study"] for row in rows]
    return {row["source"]: row for row in rows}


def leftovers(output: Path) -> list[str]:
    """What a killed run left that is neither a whole result nor a row: hidden staging folders, files half written."""
    return [str(path.relative_to(output)) for path in output.rglob(".*") if not path.name.endswith(".lock")]


def results_are_whole(output: Path) -> bool:
    """Whether each result folder with a DICOM object has its report, which is written last."""
    folders = [path for path in (output / "results").glob("*") if not path.name.startswith(".")]
    return all((folder / "report.json").is_file() for folder in folders)
