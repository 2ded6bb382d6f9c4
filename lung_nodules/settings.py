"""Every number that a reader of the code would question, typed, bounded and with its unit in its name.

`app.yaml` is read by the MONAI Deploy packager (`application`, `resources`) and by us (`lung_nodules`): one file,
so that the packaged application runs as it was configured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lung_nodules.errors import UsageRefusal


class Section(BaseModel):
    """A part of the settings: frozen, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InstancesSettings(Section):
    """Reading of headers."""

    num_threads: int = Field(8, ge=1, le=64, description="Files read at a time.")
    max_num_files: int = Field(200_000, ge=1, le=10_000_000, description="Files under the input folder.")
    max_folder_depth: int = Field(256, ge=1, le=1000, description="Folders within folders, the input folder included.")
    max_header_mib: int = Field(32, ge=1, le=1024, description="Bytes read of one header, skipped elements apart.")
    max_element_kib: int = Field(64, ge=1, le=65536, description="Elements above are left out of a header.")
    max_nesting_depth: int = Field(16, ge=1, le=64, description="Sequences nested deeper are left out of a header.")
    max_plane_megapixels: int = Field(64, ge=1, le=1024, description="Rows x Columns that an image may declare.")
    max_inflated_mib: int = Field(64, ge=1, le=4096, description="Size of a deflated data set once inflated.")


class SeriesSettings(Section):
    """Choice of the series to read."""

    min_num_slices: int = Field(10, ge=2, le=1000, description="Fewer are no volume to look for nodules in.")
    max_obliquity_deg: float = Field(30.0, gt=0, lt=45, description="Angle between slice normal and body axis.")
    thin_slice_mm: float = Field(
        1.5, gt=0, le=5, description="Up to here slices are equally good (Fleischner 2017: 1.5 mm or less)."
    )
    thickness_step_mm: float = Field(0.5, gt=0, le=5, description="Above that, a difference that decides.")
    preferred_slice_mm: float = Field(1.0, gt=0, le=5, description="Among equals the nearest wins: the networks' grid.")
    whole_chest_mm: float = Field(280.0, gt=0, le=600, description="Coverage above which more does not count.")
    min_coverage_fraction: float = Field(
        0.8, ge=0, le=1, description="A series that covers less of the best coverage comes after those that cover more."
    )
    num_probe_slices: int = Field(7, ge=1, le=50, description="Slices decoded to look for lungs.")
    max_air_hu: float = Field(-500.0, ge=-1024, le=0, description="Above it the lowest value cannot be air: not HU.")
    min_lung_litres: float = Field(
        0.2, ge=0, le=10, description="Aerated lung below it is no chest; bowel and sinuses stay below 0.1 L."
    )
    min_lung_share: float = Field(
        0.5, ge=0, le=1, description="Parenchyma as a share of the air inside the body; free air has less."
    )


class VolumeSettings(Section):
    """Building of the volume."""

    num_threads: int = Field(4, ge=1, le=64, description="Slices decoded at a time.")
    same_position_mm: float = Field(0.05, gt=0, le=1, description="Slices nearer than this lie at one position.")
    max_position_error_fraction: float = Field(
        0.05, gt=0, lt=0.5, description="Deviation from equal distances, as a fraction of the slice distance."
    )
    max_sideways_shift_mm: float = Field(0.5, gt=0, le=5, description="Over the whole stack, across its normal.")
    max_orientation_error_deg: float = Field(0.1, gt=0, le=5, description="Between the slices of one series.")
    max_pixel_spacing_error_fraction: float = Field(0.001, gt=0, le=0.1, description="Likewise.")
    max_volume_gib: float = Field(4.0, gt=0, le=64, description="Size of the volume in memory, two bytes a voxel.")
    tissue_hu: tuple[float, float] = Field(
        (-900.0, 3000.0), description="A Pixel Padding Value in this range is not believed: it is tissue."
    )


class QualitySettings(Section):
    """Limits of the checks; beyond them the report warns."""

    max_slice_spacing_mm: float = Field(
        3.0, gt=0, le=20, description="Above, nodules below 6 mm are missed or cannot be measured."
    )
    max_slice_thickness_mm: float = Field(
        2.5, gt=0, le=20, description="LUNA16 took scans up to here (Setio et al., MedIA 2017); so did the training."
    )
    unusable_slice_mm: float = Field(5.0, gt=0, le=20, description="Spacing or thickness above it fails the check.")
    max_irregularity_fraction: float = Field(
        0.01, gt=0, le=0.5, description="Deviation of a slice's distance to the next, of the usual distance."
    )
    gap_from_fraction: float = Field(1.5, gt=1, le=2, description="Of the usual distance: slices are missing between.")
    max_pixel_spacing_mm: float = Field(1.0, gt=0, le=20, description="512 pixels over a field of view of 500 mm.")
    min_num_slices: int = Field(50, ge=2, le=1000, description="A lung of 25 cm in slices of 5 mm has as many.")
    max_lung_cut_cm2: float = Field(
        5.0, ge=0, le=500, description="Lung at the first or last slice, or at the border of the field of view."
    )
    min_lung_litres: float = Field(1.5, ge=0, le=20, description="Both lungs; inspiration in adults gives 3 to 8.")
    max_lung_litres: float = Field(9.0, ge=0, le=20, description="Both lungs; above, something else was taken in.")
    min_smaller_lung_share: float = Field(
        0.25, ge=0, le=0.5, description="Of both lungs; below, one is collapsed, missing or not recognised."
    )
    min_age_years: float = Field(18.0, ge=0, le=120, description="Children are outside the intended use.")
    sharp_kernels: tuple[str, ...] = Field(
        (
            r"BONE(PLUS)?|LUNG|EDGE|ULTRA",  # GE
            r"[BIHTU][a-z]?[6-9]\d.*",  # Siemens: B60f, Bl64d, I70f, Br69f
            r"FC(5[0-9]|8[0-9])",  # Canon, Toshiba
            r"Y[A-D]|L|D|E|F",  # Philips
        ),
        description="Regular expressions, of which one matches the whole name of a sharp kernel, whatever its case.",
    )


class LungsSettings(Section):
    """Segmentation of the lungs."""

    working_spacing_mm: float = Field(2.2, ge=0.5, le=5, description="Blocks of voxels about this large are averaged.")
    denoise_sigma_mm: float = Field(1.0, ge=0, le=5, description="Standard deviation of the Gaussian on the blocks.")
    air_threshold_hu: float = Field(
        -400, ge=-700, le=-200, description="Below: air or lung (Hu et al., IEEE TMI 2001, find -460 to -320 by scan)."
    )
    outside_air_hu: float = Field(-940, ge=-1000, le=-850, description="Below, and reaching the border: not the body.")
    gas_hu: float = Field(
        -950, ge=-1000, le=-900, description="A component of which half is below is gas (bowel), not emphysema."
    )
    airway_hu: float = Field(-900, ge=-1000, le=-800, description="Below: lumen of trachea and main bronchi.")
    airway_max_area_mm2: float = Field(
        700, ge=100, le=2000, description="A larger cross-section is no airway; a carina has about 600 mm2."
    )
    airway_wall_mm: float = Field(2.5, ge=0, le=6, description="Wall and partial volume taken with the lumen.")
    closing_hilar_mm: float = Field(10, ge=0, le=40, description="Ball that closes the lung over vessels.")
    closing_costal_mm: float = Field(
        45, ge=0, le=60, description="Ball that closes the lung over masses on the chest wall (of 40 mm and more)."
    )
    min_component_litres: float = Field(0.05, ge=0, le=1, description="Smaller pieces of air are no lung.")
    min_total_litres: float = Field(0.3, ge=0, le=5, description="With less lung than this the input is refused.")


class DetectionSettings(Section):
    """Search for candidates."""

    margin_mm: float = Field(10.0, ge=0, le=50, description="Searched around the lungs, for nodules on the pleura.")
    window_overlap: float = Field(0.25, ge=0, lt=1, description="Least overlap of neighbouring windows.")
    window_sigma: float = Field(0.25, gt=0, le=1, description="Gaussian weight of a window, relative to its side.")
    min_component_mm3: float = Field(10.0, ge=0, description="Smaller components are no candidates.")
    peak_sigma_mm: float = Field(1.5, gt=0, le=10, description="Smoothing before maxima are looked for.")
    peak_distance_mm: float = Field(5.0, gt=0, le=50, description="Least distance of two maxima of one component.")
    max_candidates: int = Field(150, ge=1, le=10_000, description="The highest are examined, the others counted.")


class SegmentationSettings(Section):
    """Outlining of candidates."""

    num_flips: int = Field(8, ge=1, le=8, description="Mirrored readings that are averaged.")
    search_radius_mm: float = Field(6.0, ge=0, le=20, description="How far from the candidate its outline may begin.")
    largest_cube_mm: float = Field(
        128.0, ge=48, le=256, description="A nodule that leaves its cube gets one up to this."
    )
    min_lung_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Part of an outline in the lungs; below, it is dropped. Juxtapleural phantoms have 0.73 and more.",
    )
    same_object_overlap: float = Field(
        0.5, gt=0, le=1, description="Shared part of the smaller of two outlines from which they may be one object."
    )
    neck_ratio: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Two seeds are two nodules where the neck is narrower than this part of the thinner one.",
    )


class NodulesSettings(Section):
    """Measuring."""

    solid_threshold_hu: float = Field(
        -300, ge=-600, le=0, description="Above: solid (Scholten et al., Eur Radiol 2015, 10.1007/s00330-014-3427-z)."
    )
    solid_from_fraction: float = Field(
        0.4, ge=0, le=1, description="Solid share from which on a nodule is solid; fits LIDC readers' texture ratings."
    )
    part_solid_from_fraction: float = Field(
        0.06, ge=0, le=1, description="Solid share below which it is ground-glass; from the same ratings."
    )
    side_reach_mm: float = Field(10, ge=0, le=30, description="A nodule this near to a lung is on that lung's side.")


class ClassificationSettings(Section):
    """Nodule or not, and suspicion."""

    operating_point: str = Field("default", description="Name of an operating point in the classification record.")
    num_flips: int = Field(4, ge=1, le=8, description="Mirrored readings that are averaged.")
    max_findings: int | None = Field(
        None, ge=1, description="A cap on the findings, highest first; the report states it."
    )


class ReportSettings(Section):
    """Words of the report."""

    suspicious_from_score: float = Field(
        default=0.65, ge=0, le=1, description="Overall suspicion from which a finding is called suspicious."
    )
    indeterminate_from_score: float = Field(
        default=0.35,
        ge=0,
        le=1,
        description="Overall suspicion below which a finding is called unlikely; 0.5 is LIDC's middle, indeterminate.",
    )


class DicomSegSettings(Section):
    """The DICOM SEG."""

    series_number: int = Field(
        default=9101, ge=1, le=2**31 - 1, description="Series Number of the SEG within the study."
    )
    keep_empty_frames: bool = Field(
        default=False, description="Store slices without an outline too, for viewers that misplace a segment with gaps."
    )


class DicomSrSettings(Section):
    """The DICOM SR."""

    series_number: int = Field(
        default=9102, ge=1, le=2**31 - 1, description="Series Number of the SR within the study."
    )
    sop_class: Literal["comprehensive-3d", "comprehensive"] = Field(
        default="comprehensive-3d",
        description="SOP class; comprehensive (PS3.3 A.35.3) is for archives that do not know Comprehensive 3D SR.",
    )


class PicturesSettings(Section):
    """The contact sheet."""

    window_center_hu: float = Field(
        default=-600.0, ge=-1024, le=3071, description="Middle of the lung window; -600 and 1500 are customary."
    )
    window_width_hu: float = Field(default=1500.0, ge=1, le=8000, description="Width of the lung window.")
    findings_per_sheet: int = Field(
        default=4, ge=1, le=12, description="Rows of one sheet; further findings go on the next one."
    )


class RuntimeSettings(Section):
    """Where the networks run."""

    runtime: Literal["auto", "openvino", "torch", "torch-cuda"] = Field(
        "auto", description="auto: CUDA where there is a GPU, else OpenVINO, else PyTorch on the CPU."
    )
    num_threads: int = Field(0, ge=0, le=256, description="Threads of the CPU runtimes; 0: as many as there are cores.")
    precision: Literal["auto", "f32", "bf16"] = Field(
        "auto", description="Arithmetic of OpenVINO; auto: bf16 where the processor has it, else f32."
    )
    cache: bool = Field(True, description="Keep converted models in the user's cache folder (XDG_CACHE_HOME).")


class Settings(Section):
    """Settings of one run, one section a stage."""

    instances: InstancesSettings = InstancesSettings()
    series: SeriesSettings = SeriesSettings()
    volume: VolumeSettings = VolumeSettings()
    quality: QualitySettings = QualitySettings()
    lungs: LungsSettings = LungsSettings()
    detection: DetectionSettings = DetectionSettings()
    segmentation: SegmentationSettings = SegmentationSettings()
    nodules: NodulesSettings = NodulesSettings()
    classification: ClassificationSettings = ClassificationSettings()
    report: ReportSettings = ReportSettings()
    dicom_seg: DicomSegSettings = DicomSegSettings()
    dicom_sr: DicomSrSettings = DicomSrSettings()
    pictures: PicturesSettings = PicturesSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    outputs: tuple[Literal["report_json", "dicom_seg", "dicom_sr", "pictures"], ...] = Field(
        ("report_json", "dicom_seg", "dicom_sr", "pictures"), description="The writers to run, by module name."
    )


def read_settings(path: Path) -> Settings:
    """Read the `lung_nodules` section of an `app.yaml`; what it does not name keeps its default.

    Raises:
        UsageRefusal: ``bad-settings`` when the file cannot be read or a value is out of bounds.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UsageRefusal("bad-settings", f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UsageRefusal("bad-settings", f"The settings file {path.name} is not YAML{_line_of(error)}.") from error
    if not isinstance(document, dict):
        raise UsageRefusal("bad-settings", f"The settings file {path.name} holds no settings by name.")
    try:
        return Settings.model_validate(document.get("lung_nodules") or {})
    except ValidationError as error:
        raise bad_setting(error, f" in {path.name}") from error


def bad_setting(error: ValidationError, place: str = "") -> UsageRefusal:
    """The refusal ``bad-settings`` that names the first setting that is not valid; its value is not shown.

    Args:
        error: Of the validation of settings.
        place: Where they stand, as it follows a setting's name, for example `` in app.yaml``.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return UsageRefusal("bad-settings", f"There is no setting {name}{place}.")
    what = f"The setting {name}{place} is" if name else f"The settings{place} are"
    return UsageRefusal("bad-settings", f"{what} not valid: {first['msg'].removeprefix('Value error, ')}.")


def _line_of(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" in line {mark.line + 1}" if mark else ""
