"""What one run needs of its host: the figures for `resources` in app.yaml. `python benchmarks/resources.py`.

Processor, memory and shared memory are those of `python .` on a phantom, by the number of its slices. Memory of a GPU
is read from PyTorch where there is one. Elsewhere it is counted: all bytes that PyTorch holds at one time while the
largest input goes through a network, on the CPU in the arithmetic that the GPU would use. What CUDA itself and its
convolutions take comes on top of that, and was not measured.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import torch

from lung_nodules.networks.opened import Networks, open_networks
from lung_nodules.networks.record import load_models
from lung_nodules.settings import RuntimeSettings, Settings

REPOSITORY = Path(__file__).resolve().parents[1]
MIB = 2**20
MOST_SLICES = 400  # of the phantom
HEIGHT_MM = 300


@dataclass(frozen=True)
class Use:
    """What one run used."""

    wall_s: float
    cores: float  # busy on average
    memory_mib: float  # largest resident set
    shared_memory_mib: float  # by which /dev/shm grew


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, nargs="+", default=[240, 1000], help="of the phantoms")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for num_slices in arguments.slices:
            study = _write_phantom(Path(scratch) / str(num_slices), num_slices)
            use = _run(study, Path(scratch) / "out", arguments.models)
            _print(
                f"{num_slices} slices: {use.wall_s:.0f} s, {use.cores:.1f} of {len(os.sched_getaffinity(0))} cores, "
                f"{use.memory_mib:.0f} MiB, shared memory {use.shared_memory_mib:.0f} MiB"
            )
    kind = "read from PyTorch on the GPU" if torch.cuda.is_available() else "counted on the CPU, without CUDA's own"
    for name, mib in _network_memory(arguments.models).items():
        _print(f"{name}: {mib:.0f} MiB, {kind}")


def _write_phantom(folder: Path, num_slices: int) -> Path:
    """A chest of 300 mm in as many slices as asked for; each image is repeated where the phantom's most do not do."""
    made = min(num_slices, MOST_SLICES)
    slices = ["--slices", str(made), "--spacing-mm", f"{HEIGHT_MM / made:.4f}"]
    subprocess.run(
        [sys.executable, "-m", "lung_nodules", "phantom", folder, *slices], check=True, stdout=subprocess.DEVNULL
    )
    return folder / "dicom" if made == num_slices else _repeat_slices(folder / "dicom", folder / "more", num_slices)


def _repeat_slices(source: Path, target: Path, num_slices: int) -> Path:
    datasets = [pydicom.dcmread(path) for path in source.rglob("*") if path.is_file()]
    series, number = Counter(each.SeriesInstanceUID for each in datasets).most_common(1)[0]
    axial = [each for each in datasets if each.SeriesInstanceUID == series]
    axial.sort(key=lambda each: float(each.ImagePositionPatient[2]))
    first_mm, target_mm = float(axial[0].ImagePositionPatient[2]), HEIGHT_MM / num_slices
    target.mkdir()
    for index in range(num_slices):
        dataset = axial[index * number // num_slices]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        dataset.InstanceNumber, dataset.SliceThickness = index + 1, f"{target_mm:.4f}"
        dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], f"{first_mm + index * target_mm:.4f}"]
        dataset.save_as(target / f"{index}.dcm")
    return target


def _run(study: Path, output: Path, models: Path) -> Use:
    command = [sys.executable, REPOSITORY, "-i", study, "-o", output, "-m", models, "-l", "ERROR"]
    begun = time.perf_counter()
    with _shared_memory() as growth, subprocess.Popen(command) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}")
    wall_s = time.perf_counter() - begun
    return Use(wall_s, (usage.ru_utime + usage.ru_stime) / wall_s, usage.ru_maxrss / 1024, max(growth))


@contextmanager
def _shared_memory() -> Iterator[list[float]]:
    """MiB by which /dev/shm has grown, ten times a second; other programs count too."""

    def used_mib() -> float:
        status = os.statvfs("/dev/shm")  # noqa: S108  # it is looked at, not written to
        return (status.f_blocks - status.f_bfree) * status.f_frsize / MIB

    before, growth, done = used_mib(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            growth.append(used_mib() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield growth
    finally:
        done.set()
        thread.join()


def _network_memory(models: Path) -> dict[str, float]:
    """MiB of the three networks' weights, and of the largest input going through each, beside them."""
    on_gpu = torch.cuda.is_available()
    settings = Settings()
    networks = open_networks(load_models(models), RuntimeSettings(runtime="torch-cuda" if on_gpu else "torch"))
    weights = sum(path.stat().st_size for path in models.glob("*/weights.safetensors")) / MIB
    found = {"weights": weights}
    for name, batch in _largest_inputs(networks, settings).items():
        found[name] = _peak_on_gpu(networks, name, batch) if on_gpu else _peak_counted(networks, name, batch)
    return found


def _largest_inputs(networks: Networks, settings: Settings) -> dict[str, np.ndarray]:
    sides = {
        "finder": (1, networks.finder.record.preprocessing.patch_voxels),
        "outliner": (1, round(settings.segmentation.largest_cube_mm)),  # its voxels are 1 mm
        "classifier": (settings.classification.num_flips, networks.classifier.record.preprocessing.patch_voxels),
    }
    return {name: np.zeros((number, 1, side, side, side), np.float32) for name, (number, side) in sides.items()}


def _peak_on_gpu(networks: Networks, name: str, batch: np.ndarray) -> float:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    getattr(networks, name)(batch)
    return torch.cuda.max_memory_reserved() / MIB


def _peak_counted(networks: Networks, name: str, batch: np.ndarray) -> float:
    """The most bytes that were allocated at one time during a call."""
    network = getattr(networks, name)
    network(batch)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        network(batch)
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(np.cumsum([0, *changes])) / MIB


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
