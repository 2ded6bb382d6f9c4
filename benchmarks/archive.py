"""Seconds to fetch a series with several requests in flight against one, as a table in Markdown.

From a real Orthanc on this machine (Debian's orthanc and orthanc-dicomweb), near and with a delay before each answer,
as a line to another site has. The runs alternate, each into an empty folder and without a cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("LUNG_NODULES_DATA", REPOSITORY.parent / "shared" / "data"))
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]  # the tests know how to start an Orthanc

import pydicom  # noqa: E402  # after the path
from fault_proxy import is_slow, start_fault_proxy  # noqa: E402  # after the path
from real_orthanc import DICOMWEB_PLUGIN, PROGRAM, Orthanc, start_orthanc  # noqa: E402  # after the path

from lung_nodules.archive.opening import open_archive  # noqa: E402  # after the path
from lung_nodules.archive.settings import ArchiveSettings, DicomwebSettings, DimseSettings  # noqa: E402  # after the path
from lung_nodules.archive.study_folder import StudyFolder  # noqa: E402  # after the path

DELAY_S = 0.05
FLIGHTS = (1, 4, 8)

MakeSettings = Callable[[int], ArchiveSettings]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each way (default: 5)")
    runs = parser.parse_args().runs
    if PROGRAM is None or not DICOMWEB_PLUGIN.exists():
        _say("Requests in flight were not measured: apt-get install orthanc orthanc-dicomweb")
        return
    known = {"DicomModalities": {"US": ["LUNGNODULES", "127.0.0.1", 104]}}
    with tempfile.TemporaryDirectory() as name, start_orthanc(Path(name) / "orthanc", True, known) as orthanc:
        scratch = Path(name)
        files = _series_files(scratch)
        orthanc.add(files)
        size_mib = sum(path.stat().st_size for path in files) / 2**20
        _say(f"A series of {len(files)} instances, {size_mib:.0f} MiB; medians of {runs} runs.\n")
        more = FLIGHTS[1:]
        _say(
            f"| from | {' | '.join(f'{number} in flight (s)' for number in FLIGHTS)} |"
            f" {' | '.join(f'1 against {number}' for number in more)} |"
        )
        _say(f"|---|{'---|' * (len(FLIGHTS) + len(more))}")
        with start_fault_proxy(orthanc.url) as proxy:
            proxy.spoil(r"GET", is_slow(delay_s=DELAY_S))
            for way, make in _ways(orthanc, proxy.url).items():
                _say(_row(way, _measure(make, files[0], scratch, runs)))


def _ways(orthanc: Orthanc, far_url: str) -> dict[str, MakeSettings]:
    def web(url: str) -> MakeSettings:
        return lambda number: DicomwebSettings(kind="dicomweb", url=f"{url}/dicom-web", num_connections=number)

    def dimse(number: int) -> DimseSettings:
        return DimseSettings(
            kind="dimse", host="127.0.0.1", port=orthanc.dicom_port, ae_title="ORTHANC", num_connections=number
        )

    far = f"DICOMweb, {DELAY_S * 1000:.0f} ms before each answer"
    return {"DICOMweb, near": web(orthanc.url), far: web(far_url), "C-GET, near": dimse}


def _measure(make: MakeSettings, file: Path, scratch: Path, runs: int) -> dict[int, float]:
    """Median seconds by the number of requests in flight."""
    header = pydicom.dcmread(file, stop_before_pixels=True)
    seconds: dict[int, list[float]] = {number: [] for number in FLIGHTS}
    for run in range(runs + 1):
        for number in FLIGHTS:
            with tempfile.TemporaryDirectory(dir=scratch) as folder, open_archive(make(number), "bench") as archive:
                begun = time.perf_counter()
                archive.fetch_series(
                    header.StudyInstanceUID, header.SeriesInstanceUID, StudyFolder(Path(folder), "bench", None)
                )
                if run:  # the first round warms up the disk
                    seconds[number].append(time.perf_counter() - begun)
    return {number: statistics.median(each) for number, each in seconds.items()}


def _row(name: str, medians: dict[int, float]) -> str:
    ratios = [medians[FLIGHTS[0]] / medians[number] for number in FLIGHTS[1:]]
    cells = [*(f"{medians[number]:.2f}" for number in FLIGHTS), *(f"{ratio:.1f}x" for ratio in ratios)]
    return f"| {name} | {' | '.join(cells)} |"


def _series_files(scratch: Path) -> list[Path]:
    """A real scan where there is one, else the phantom."""
    real = sorted((DATA / "lidc-scans" / "LIDC-IDRI-0001").glob("*.dcm"))
    if real:
        return real
    from lung_nodules.phantom import default_phantom_settings, write_phantom

    folder = write_phantom(scratch / "phantom", default_phantom_settings()).dicom_folder
    by_series: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        uid = str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)
        by_series.setdefault(uid, []).append(path)
    return max(by_series.values(), key=len)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
