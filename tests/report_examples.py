"""Studies as the earlier stages hand them on: drawn ones, and real scans with the readers' consensus as outlines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK
from pydicom.uid import CTImageStorage

from lung_nodules.settings import Settings
from lung_nodules.stages.classification import Finding
from lung_nodules.stages.detection import Candidate
from lung_nodules.stages.diameters import measure_diameters
from lung_nodules.stages.identifiers import derive_uid, digest_settings
from lung_nodules.stages.instances import Instance, PassedOver
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.nodules import Nodule
from lung_nodules.stages.quality import Check, Outcome, Quality
from lung_nodules.stages.report import EarlierDocument, ModelIdentity, Provenance, Report, build_report
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.series import Selection
from lung_nodules.stages.survey import ConsideredSeries
from lung_nodules.stages.volume import Geometry, Volume

PATIENT_NAME = "Doe^Jane"
BIRTH_DATE = "19440229"
Direction = tuple[tuple[float, float, float], ...]
AXIAL: Direction = ((0, 0, 1), (0, 1, 0), (1, 0, 0))

MODELS = tuple(
    ModelIdentity(f"{kind}-unet", kind, "1.0", f"{number:064x}", *point)
    for number, (kind, point) in enumerate(
        {"detection": ("balanced", 1.0), "segmentation": (), "classification": ("rule-out", None)}.items()
    )
)
PROVENANCE = Provenance(
    software_version="0.1.0",
    models=MODELS,
    runtime="openvino 2026.4.0 bf16",
    device="cpu: 2 threads",
    settings_sha256=digest_settings(Settings()),
    passed_over=(PassedOver(Path("a.json"), "not-dicom", "No."), PassedOver(Path("b"), "not-dicom", "No.")),
    seconds_by_stage={"volume": 1.23456789},
    peak_memory_mib=1234.5,
)


@dataclass(frozen=True)
class Study:
    """Everything that `build_report` takes."""

    selection: Selection
    quality: Quality
    volume: Volume
    lungs: Lungs
    outlines: Outlines
    findings: tuple[Finding, ...]

    def report(
        self,
        provenance: Provenance = PROVENANCE,
        settings: Settings | None = None,
        earlier: EarlierDocument | None = None,
    ) -> Report:
        parts = (self.selection, self.quality, self.volume, self.lungs, self.outlines, self.findings)
        return build_report(*parts, provenance, settings or Settings(), earlier)

    def without_findings(self) -> Study:
        return replace(self, findings=())


def drawn_study(
    shape: tuple[int, int, int] = (12, 40, 48),
    spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.7),
    direction: Direction = AXIAL,
    num_nodules: int = 2,
) -> Study:
    """Lung of -850 HU with boxes of 20 HU in it; the label map holds one more outline, which is no finding."""
    geometry = Geometry((-100.5, -90.25, -300.125), spacing_mm, direction, shape, "1.2.3.4")
    array = np.full(shape, -850, dtype=np.int16)
    label_map = np.zeros(shape, dtype=np.uint16)
    for label in range(1, num_nodules + 2):
        box = np.s_[label : label + 3, 5 : 5 + 2 * label + 2, 4 * label : 4 * label + 3]
        array[box], label_map[box] = 20, label
    headers = tuple(drawn_header(geometry, index) for index in range(shape[0]))
    volume = Volume(array, geometry, headers)
    return study_of(volume, label_map, rejected=(2,) if num_nodules else (1,))


def drawn_header(geometry: Geometry, index: int) -> pydicom.Dataset:
    """The header of one slice; Instance Numbers run against the normal and start at 101."""
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID = derive_uid("slice", str(index))
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    header.FrameOfReferenceUID = "1.2.3.4"
    header.PatientName, header.PatientID, header.PatientBirthDate = PATIENT_NAME, "P-7", BIRTH_DATE
    header.PatientSex, header.PatientAge = "F", "061Y"
    header.StudyDate, header.StudyTime, header.StudyID, header.AccessionNumber = "20050301", "101500", "1", "A-1"
    header.ReferringPhysicianName = ""
    header.Modality, header.Manufacturer, header.KVP = "CT", "ACME", "120"
    header.InstanceNumber = 100 + geometry.shape[0] - index
    header.ImagePositionPatient = [round(float(part), 6) for part in geometry.to_world([index, 0, 0])]
    header.ImageOrientationPatient = [*geometry.direction[2], *geometry.direction[1]]
    header.PixelSpacing, header.SliceThickness = list(geometry.spacing_mm[1:]), geometry.spacing_mm[0]
    header.Rows, header.Columns = geometry.shape[1:]
    return header


def scan_headers(shared_data: Path, patient: str) -> tuple[pydicom.Dataset, ...]:
    """The headers of a real scan in slice order (its orientation is plain axial)."""
    files = (shared_data / "lidc-scans" / patient).glob("*.dcm")
    headers = (pydicom.dcmread(path, stop_before_pixels=True) for path in files)
    return tuple(sorted(headers, key=lambda header: float(header.ImagePositionPatient[2])))


def scan_study(shared_data: Path, patient: str, array: npt.NDArray[np.int16] | None = None) -> Study:
    """A real scan with the readers' consensus as outlines; without `array` its voxels are all air."""
    mask = SimpleITK.ReadImage(str(shared_data / "lidc-scans" / f"{patient}_consensus.nii.gz"))
    label_map = SimpleITK.GetArrayFromImage(mask).astype(np.uint16)
    headers = scan_headers(shared_data, patient)
    rows_mm, columns_mm = (float(part) for part in headers[0].PixelSpacing)
    geometry = Geometry(
        tuple(float(part) for part in headers[0].ImagePositionPatient),
        (2.5, rows_mm, columns_mm),
        AXIAL,
        label_map.shape,
        headers[0].FrameOfReferenceUID,
    )
    voxels = np.full(label_map.shape, -1000, dtype=np.int16) if array is None else array
    reference = json.loads((shared_data / "lidc-scans" / "reference.json").read_text())["scans"][patient]
    axes = {
        nodule["label"]: (nodule["longest_axial_diameter_mm"], nodule["perpendicular_axial_diameter_mm"])
        for nodule in reference["nodules"]
    }
    return study_of(Volume(voxels, geometry, headers), label_map, axes=axes)


def study_of(
    volume: Volume,
    label_map: npt.NDArray[np.uint16],
    rejected: Sequence[int] = (),
    axes: dict[int, tuple[float, float]] | None = None,
) -> Study:
    """Put a volume and its outlines into the stages' types."""
    labels = [int(label) for label in np.unique(label_map) if label]
    kept = [label for label in labels if label not in rejected]
    findings = tuple(
        finding_of(volume, label_map, label, number, (axes or {}).get(label, (9.0, 6.0)))
        for number, label in enumerate(kept, start=1)
    )
    candidates = tuple(Candidate((1, 1, 1), (0, 0, 0), 0.9, 100.0, (5, 5, 5)) for _ in labels)
    lungs = Lungs(np.ones(label_map.shape, np.uint8), 2.5, 2.25, tuple(slice(1, size - 1) for size in label_map.shape))
    header = volume.headers[0]
    considered = (
        ConsideredSeries(header.SeriesInstanceUID, 2, "CHEST 2.5", "CT", len(volume.headers), True, "chosen", "Best."),
        ConsideredSeries("1.2.3.9", None, "SCOUT", "CT", 2, False, "localizer", "A scout."),
    )
    instances = tuple(Instance(Path("x"), header) for header in volume.headers)
    selection = Selection(header.StudyInstanceUID, header.SeriesInstanceUID, instances, considered)
    quality = Quality((Check("slice-spacing", Outcome.PASS, 2.5, 3.0, "mm", "The slices are 2.5 mm apart."),))
    return Study(selection, quality, volume, lungs, Outlines(label_map, candidates, 3, 1, 4, 5), findings)


def finding_of(
    volume: Volume, label_map: npt.NDArray[np.uint16], label: int, number: int, axes_mm: tuple[float, float]
) -> Finding:
    """A finding whose place, volume and ends of axes are the mask's, and whose scores fall with its number."""
    voxels = np.argwhere(label_map == label)
    center_ijk = tuple(float(part) for part in voxels.mean(axis=0))
    center_lps = tuple(float(part) for part in volume.geometry.to_world(center_ijk))
    key_slice = int(np.bincount(voxels[:, 0]).argmax())
    volume_mm3 = len(voxels) * volume.geometry.voxel_volume_mm3
    drawn = measure_diameters(label_map == label, volume.geometry.spacing_mm)
    nodule = Nodule(
        label=label,
        candidate_score=0.9,
        center_lps=center_lps,
        center_ijk=center_ijk,
        key_slice=key_slice,
        key_sop_instance_uid=str(volume.headers[key_slice].SOPInstanceUID),
        key_instance_number=int(volume.headers[key_slice].InstanceNumber),
        long_axis_mm=axes_mm[0],
        short_axis_mm=axes_mm[1],
        mean_diameter_mm=sum(axes_mm) / 2,
        long_axis_slice=drawn.slice_index,
        long_axis_ends_lps=ends_of(volume, drawn.long_axis_ends_ijk),
        short_axis_ends_lps=ends_of(volume, drawn.short_axis_ends_ijk),
        volume_mm3=volume_mm3,
        equivalent_sphere_diameter_mm=(6 * volume_mm3 / np.pi) ** (1 / 3),
        side=("right", "left", "")[number % 3] if center_lps[0] < 0 else "left",
        mean_hu=float(volume.array[label_map == label].mean()),
        solid_fraction=1.0,
        density="solid",
        features={"log_volume": float(np.log(volume_mm3))},
    )
    return Finding(nodule, f"N{number}", 0.99, 0.95 / number, {"spiculation": 2.123456, "margin": 4.0})


def ends_of(volume: Volume, ends_ijk: npt.NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two ends of an axis in the patient."""
    first, second = volume.geometry.to_world(ends_ijk)
    return tuple(first.tolist()), tuple(second.tolist())


def study_with_name_of(folder: Path) -> tuple[Study, dict[str, bytes]]:
    """A drawn study under the patient's name in a folder of real headers, and the bytes of that name."""
    header = pydicom.dcmread(min(path for path in folder.rglob("*") if path.is_file()), stop_before_pixels=True)
    study = drawn_study()
    raw = {keyword: header.get_item(keyword) for keyword in ("SpecificCharacterSet", "PatientName")}
    for slice_header in study.volume.headers:
        for keyword, element in raw.items():
            slice_header[keyword] = element
    return study, {keyword: element.value for keyword, element in raw.items()}
