"""Other people's programs that read or check DICOM objects: dicom3tools' dciodvfy, dcmqi's readers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import SimpleITK


def errors_of(path: Path) -> list[str]:
    """What dciodvfy finds wrong with an object; it says the name of the IOD that it took it for."""
    done = _run("dciodvfy", "-new", path)
    lines = (done.stdout + done.stderr).splitlines()
    assert any(line in {"Segmentation", "Comprehensive3DSR", "ComprehensiveSR"} for line in lines), lines
    return [line for line in lines if "Error" in line] + ([f"exit {done.returncode}"] if done.returncode else [])


def read_measurements(path: Path, folder: Path) -> dict[str, Any]:
    """An SR as dcmqi's tid1500reader understands it."""
    written = folder / "measurements.json"
    done = _run("tid1500reader", "--inputDICOM", path, "--outputMetadata", written)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(written.read_text(encoding="utf-8")))


def read_segments(path: Path, folder: Path) -> tuple[SimpleITK.Image, dict[int, dict[str, Any]]]:
    """A SEG as dcmqi's segimage2itkimage understands it: one label map, and by label what each segment is."""
    done = _run(
        "segimage2itkimage",
        *("--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nrrd", "--mergeSegments"),
    )
    assert done.returncode == 0, done.stderr
    (image,) = folder.glob("*.nrrd")
    described = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["segmentAttributes"]
    return SimpleITK.ReadImage(str(image)), {segment["labelID"]: segment for group in described for segment in group}


def _run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")


def inconsistencies_of(paths: list[Path], beside: list[Path]) -> list[str]:
    """What dcentvfy finds wrong with objects beside others of their study: patient, study, missing references."""
    done = _run("dcentvfy", *paths, *beside)
    own = [line for line in (done.stdout + done.stderr).splitlines() if any(f"<{path}>" in line for path in paths)]
    return [line for line in own if line.startswith("Error")]
