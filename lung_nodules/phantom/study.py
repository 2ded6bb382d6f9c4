"""Writing a phantom as a study: localizers, a thin and a thick axial series, a dose report; and what is true of it.

``write_phantom(folder, settings)`` gives::

    folder/dicom/scout/SC0001 ...     two localizers, frontal and lateral
    folder/dicom/thin/IM0001 ...      the thin axial series, from the head down, without file extension
    folder/dicom/thick/0001.dcm ...   the same scan in slices of about 5 mm, soft kernel
    folder/dicom/dose/SR0001.dcm      X-Ray Radiation Dose SR
    folder/truth.json                 `PhantomTruth`
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.ndimage import gaussian_filter

from lung_nodules.errors import OutputRefusal
from lung_nodules.phantom.chest import Chest, build_chest
from lung_nodules.phantom.dose_report import dose_report
from lung_nodules.phantom.grid import Float32, Spline
from lung_nodules.phantom.headers import SeriesHeader, StudyIdentity, ct_template, decimal, set_instance
from lung_nodules.phantom.nodules import NoduleTruth
from lung_nodules.phantom.scanner import KERNELS
from lung_nodules.phantom.settings import PhantomSettings
from lung_nodules.progress import Advance, Progress, SilentProgress

_THICK_MM = 5.0
_AXIAL = ("1", "0", "0", "0", "1", "0")
_INTERCEPT = 1024

_Plane = npt.NDArray[np.int16]


class PhantomTruth(BaseModel):
    """What is true of a phantom; `truth.json` holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    study_instance_uid: str
    thin_series_instance_uid: str = Field(description="The series that a reader should choose.")
    thick_series_instance_uid: str
    scout_series_instance_uid: str
    dose_series_instance_uid: str
    frame_of_reference_uid: str
    num_slices: int = Field(description="Of the thin series.")
    spacing_mm: tuple[float, float, float] = Field(description="Between slices, rows and columns of the thin series.")
    right_lung_litres: float
    left_lung_litres: float
    nodules: tuple[NoduleTruth, ...]


@dataclass(frozen=True)
class Phantom:
    """A phantom that was written."""

    dicom_folder: Path
    truth_path: Path
    truth: PhantomTruth


def write_phantom(folder: Path, settings: PhantomSettings, progress: Progress | None = None) -> Phantom:
    """Build a phantom and write its study and its truth; a phantom that lies in the folder already is replaced.

    Args:
        folder: Made where it is missing. It appears in it all at once, or not at all.
        settings: What to build; equal settings give equal files.
        progress: Told of every slice.

    Raises:
        UsageRefusal: When a nodule has no place (see `place_nodules`).
        OutputRefusal: ``folder-not-a-phantom`` when `folder` holds a ``dicom`` folder that no phantom left there,
            ``output-not-written`` when the disk refuses.
    """
    dicom_folder, truth_path = folder / "dicom", folder / "truth.json"
    if dicom_folder.exists() and not truth_path.is_file():
        raise OutputRefusal(
            "folder-not-a-phantom", "The output folder holds a dicom folder that is not a phantom's.", "Name another."
        )
    with (progress or SilentProgress()).stage("phantom", 3 * settings.num_slices) as advance:
        chest = build_chest(settings, advance)
        identity = StudyIdentity(settings)
        truth = _truth(chest, identity)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".phantom-") as partial:
                _write_study(Path(partial), chest, identity, advance)
                shutil.rmtree(dicom_folder, ignore_errors=True)
                truth_path.write_text(truth.model_dump_json(indent=2) + "\n", encoding="utf-8")
                (Path(partial) / "dicom").rename(dicom_folder)
        except OSError as error:
            raise OutputRefusal("output-not-written", f"The phantom could not be written: {error.strerror}.") from error
    return Phantom(dicom_folder, truth_path, truth)


def _truth(chest: Chest, identity: StudyIdentity) -> PhantomTruth:
    return PhantomTruth(
        seed=identity.settings.seed,
        study_instance_uid=identity.study_instance_uid,
        thin_series_instance_uid=identity.uid("series", "thin"),
        thick_series_instance_uid=identity.uid("series", "thick"),
        scout_series_instance_uid=identity.uid("series", "scout"),
        dose_series_instance_uid=identity.uid("series", "dose"),
        frame_of_reference_uid=identity.frame_of_reference_uid,
        num_slices=chest.grid.shape[0],
        spacing_mm=chest.grid.spacing_mm,
        right_lung_litres=chest.right_litres,
        left_lung_litres=chest.left_litres,
        nodules=chest.nodules,
    )


def _write_study(partial: Path, chest: Chest, identity: StudyIdentity, advance: Advance) -> None:
    """Write all series below ``partial/dicom``."""
    folders = {name: partial / "dicom" / name for name in ("scout", "thin", "thick", "dose")}
    for path in folders.values():
        path.mkdir(parents=True)
    _write_scouts(folders["scout"], chest, identity)
    _write_axial(folders["thin"], "IM{:04d}", _thin_header(identity), chest.array, chest, identity, advance)
    thick, spacing_mm = _thick_slices(chest, identity.settings)
    header = SeriesHeader(
        "thick", 3, "Chest 5 mm soft", ("ORIGINAL", "PRIMARY", "AXIAL"), "SOFT", spacing_mm, spacing_mm
    )
    _write_axial(folders["thick"], "{:04d}.dcm", header, thick, chest, identity, lambda _: None)
    length_mm = chest.grid.shape[0] * chest.grid.spacing_mm[0]
    dose_report(identity, length_mm).save_as(folders["dose"] / "SR0001.dcm", enforce_file_format=True)


def _thin_header(identity: StudyIdentity) -> SeriesHeader:
    spacing_mm, kernel = identity.settings.slice_spacing_mm, identity.settings.kernel
    description = f"Chest {decimal(spacing_mm)} mm {kernel}"
    image_type = ("ORIGINAL", "PRIMARY", "AXIAL")
    return SeriesHeader("thin", 2, description, image_type, kernel.upper(), spacing_mm, spacing_mm)


def _thick_slices(chest: Chest, settings: PhantomSettings) -> tuple[_Plane, float]:
    """Means of neighbouring thin slices, blurred further by the soft kernel, and their spacing in mm."""
    spacing_mm = settings.slice_spacing_mm
    together = min(max(2, round(_THICK_MM / spacing_mm)), chest.grid.shape[0] // 2)
    count = chest.grid.shape[0] // together
    blur_mm2 = KERNELS["soft"].blur_mm ** 2 - KERNELS[settings.kernel].blur_mm ** 2
    blur_px = float(np.sqrt(max(blur_mm2, 0))) / settings.pixel_spacing_mm
    planes = np.empty((count, *chest.grid.shape[1:]), dtype=np.int16)
    for k in range(count):
        mean = chest.array[k * together : (k + 1) * together].mean(axis=0, dtype=np.float32)
        planes[k] = np.rint(gaussian_filter(mean, blur_px, truncate=3.0) if blur_px > 0 else mean)
    return planes, together * spacing_mm


def _write_axial(
    folder: Path,
    file_name: str,
    header: SeriesHeader,
    planes: _Plane,
    chest: Chest,
    identity: StudyIdentity,
    advance: Advance,
) -> None:
    """Write an axial series, numbered from the head down as scanners do."""
    image = ct_template(identity, header, *planes.shape[1:])
    image.ImageOrientationPatient = list(_AXIAL)
    x, y, bottom = chest.grid.origin_lps
    step = header.spacing_mm or 0.0
    first_z = bottom + (step - chest.grid.spacing_mm[0]) / 2
    for number, k in enumerate(reversed(range(len(planes))), start=1):
        z = decimal(first_z + k * step)
        image.ImagePositionPatient = [decimal(x), decimal(y), z]
        image.SliceLocation = z
        set_instance(image, identity.uid(header.name, number), number)
        image.PixelData = _stored(planes[k])
        image.save_as(folder / file_name.format(number), enforce_file_format=True)
        advance(1)


def _stored(plane: _Plane) -> bytes:
    """HU as stored values."""
    return (plane.clip(-_INTERCEPT, 4095 - _INTERCEPT) + _INTERCEPT).astype("<u2").tobytes()


def _write_scouts(folder: Path, chest: Chest, identity: StudyIdentity) -> None:
    """Write a frontal and a lateral view: the water in the path of the rays, in a grey scale like HU."""
    image_type = ("ORIGINAL", "PRIMARY", "LOCALIZER")
    header = SeriesHeader("scout", 1, "Scout", image_type, "STANDARD", 500.0, None)
    x, y, bottom = chest.grid.origin_lps
    top = bottom + (chest.grid.shape[0] - 1) * chest.grid.spacing_mm[0]
    views = ((1, ("1", "0", "0"), (x, 0.0, top)), (2, ("0", "1", "0"), (0.0, y, top)))
    for number, (axis, rows_run, position) in enumerate(views, start=1):
        plane = _radiograph(chest, axis)
        image = ct_template(identity, header, *plane.shape)
        image.ImageOrientationPatient = [*rows_run, "0", "0", "-1"]
        image.ImagePositionPatient = [decimal(value) for value in position]
        set_instance(image, identity.uid("scout", number), number)
        image.PixelData = _stored(plane)
        image.save_as(folder / f"SC{number:04d}", enforce_file_format=True)


def _radiograph(chest: Chest, axis: int) -> _Plane:
    """Project the scan along rows (axis 1) or columns (axis 2), head up, with square pixels."""
    total: Float32 = chest.array.sum(axis=axis, dtype=np.int64).astype(np.float32)
    water_mm = (total / 1000 + chest.grid.shape[axis]) * chest.grid.spacing_mm[axis]
    heights = chest.grid.axes_mm[0]
    wanted = np.arange(heights[-1], heights[0], -chest.grid.spacing_mm[2])
    square = Spline.between(heights, wanted).along(0, water_mm.astype(np.float32))
    return np.asarray(np.rint(square * 4 - 1000).clip(-1024, 3071), dtype=np.int16)
