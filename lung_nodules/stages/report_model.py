"""The report as the outside world sees it: a pydantic model, its version and its JSON Schema.

Changing a field means a new `REPORT_VERSION`, a new ``writers/report.schema.json`` and a line in the changelog. A
report names a patient by ID alone: never by name or birth date. Numbers are rounded to four decimals on the way in, so
that what is written is what every reader of the model sees; guidelines do their own rounding on these.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from lung_nodules.stages.quality import Outcome

Version = Literal["1.4"]
REPORT_VERSION: Final[Version] = "1.4"
DISCLAIMER = (
    "Research use only. Not for clinical use: this software is not a medical device, and its results must not be used "
    "for diagnosis, treatment or any other decision about a patient."
)
COORDINATE_FRAME = (
    "DICOM patient coordinates (LPS) in mm: x grows to the patient's left, y to the back, z to the head. "
    "Voxels are [slice, row, column] from 0 on the CT's own grid, slices ordered along row cosines x column cosines."
)

Rounded = Annotated[float, AfterValidator(lambda value: round(value, 4) + 0.0)]
Fine = Annotated[float, AfterValidator(lambda value: round(value, 6))]  # counts many times over a volume
Share = Annotated[Rounded, Field(ge=0, le=1)]
Triple = tuple[Rounded, Rounded, Rounded]
Suspicion = Literal["suspicious", "indeterminate", "unlikely"]


class Side(StrEnum):
    """Lung that a finding is in."""

    RIGHT = "right"
    LEFT = "left"


class Density(StrEnum):
    """Kind of a nodule by its share of solid tissue."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"


class Part(BaseModel):
    """A part of the report: frozen, closed, finite; the docstring under a field is its description in the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class SoftwareReport(Part):
    """What wrote the report."""

    name: str
    version: str


class StudyReport(Part):
    """Whose study was read, as its headers say; null where they do not."""

    patient_id: str | None
    patient_age_years: Rounded | None
    """From Patient's Age, else from the birth date and the study date."""
    patient_sex: str | None
    """As in DICOM: M, F or O."""
    accession_number: str | None
    study_instance_uid: str
    series_instance_uid: str
    study_date: date | None


class ProtocolReport(Part):
    """How the series was taken, as its headers say; null where they do not."""

    manufacturer: str | None
    manufacturer_model_name: str | None
    kvp: Rounded | None
    convolution_kernel: str | None
    slice_thickness_mm: Rounded | None
    spacing_mm: tuple[Fine, Fine, Fine]
    """Between slices, rows and columns, measured from the positions of the slices."""
    num_slices: int
    num_rows: int
    num_columns: int
    contrast_agent: str | None
    body_part_examined: str | None
    patient_position: str | None


class SliceReport(Part):
    """One slice of the series, named in every way that a viewer may ask for."""

    index: int
    """From 0, along the normal."""
    viewer_number: int
    """From 1, as a viewer counts: in the order of Instance Number, or along the normal where those are not distinct."""
    sop_instance_uid: str
    instance_number: int | None


class PositionReport(Part):
    """Where a finding is."""

    side: Side | None
    center_lps_mm: Triple
    """Centroid of the outline, patient coordinates."""
    center_voxel: Triple
    """The same as slice, row, column."""
    slice: SliceReport
    """The slice in which the outline's area is largest."""


class SizeReport(Part):
    """How large a finding is, measured on the CT's own voxels."""

    long_axis_mm: Rounded
    """Longest distance within one axial slice, pixel edge to pixel edge."""
    short_axis_mm: Rounded
    """Longest extent perpendicular to the long axis, in the same slice."""
    mean_diameter_mm: Rounded
    """Mean of the two axes, not rounded for any guideline."""
    axes_slice: SliceReport
    """The slice in which the axes were measured."""
    long_axis_ends_lps_mm: tuple[Triple, Triple]
    short_axis_ends_lps_mm: tuple[Triple, Triple]
    volume_mm3: Rounded
    equivalent_sphere_diameter_mm: Rounded
    """Diameter of a sphere of the same volume."""


class SegmentReference(Part):
    """The segment that holds a finding's outline."""

    sop_instance_uid: str
    segment_number: int


class FindingReport(Part):
    """One finding."""

    finding_id: str
    tracking_id: str
    tracking_uid: str
    """The same in every file of this result."""
    outline_label: int
    """The outline's value in the run's label map."""
    segment: SegmentReference | None
    """Null where no DICOM SEG was asked for."""
    suspicion: Suspicion
    """The overall suspicion in a word."""
    overall_suspicion: Share
    """nodule_probability x suspicion_score: how suspicious this is, counting the doubt whether it is a nodule. By the
    law of total probability, because what is no nodule is not suspicious. Findings are ordered by it."""
    suspicion_score: Share
    """Readers' suspicion of malignancy, given that this is a nodule, as learned from LIDC's ratings. It is no diagnosis
    and no measure of disease."""
    nodule_probability: Share
    """That this is a nodule, not a vessel or a scar."""
    candidate_score: Share
    """Peak of the finder's output."""
    characteristics: dict[str, Rounded]
    """Rating that a LIDC reader is expected to give, on LIDC's scale of each characteristic; names in snake case."""
    density: Density
    solid_fraction: Share
    mean_hu: Rounded
    position: PositionReport
    size: SizeReport
    features: dict[str, Rounded]
    """The measured features that the classifier was given."""


class SegmentationReport(Part):
    """The DICOM SEG with all outlines."""

    sop_class_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    file_name: str


class DocumentReference(Part):
    """A DICOM document by its UIDs."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


class StructuredReport(Part):
    """The DICOM SR with all measurements."""

    sop_class_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    """Derived from result_uid and the predecessor."""
    file_name: str
    predecessor: DocumentReference | None
    """The SR that this one supersedes; null where there is none, or none is known."""


class CandidatesReport(Part):
    """What became of the finder's candidates."""

    reported: int
    rejected: int
    """Outlined, then judged not to be a nodule, or beyond the cap."""
    merged: int
    """The same object as a candidate with a higher score."""
    without_outline: int
    """The outliner drew nothing there."""
    outside_lungs: int
    """Too little of the outline lies in the lungs."""
    not_examined: int
    """Beyond the most candidates that are outlined; their scores are the lowest."""


class LungsReport(Part):
    """The lungs as segmented."""

    right_litres: Rounded
    left_litres: Rounded
    bounding_box_voxel: tuple[tuple[int, int, int], tuple[int, int, int]]
    """First and last voxel inside, as slice, row, column."""


class CheckReport(Part):
    """One check of the input."""

    code: str
    outcome: Outcome
    value: Rounded | str | None
    limit: Rounded | str | None
    unit: str
    """UCUM, or empty."""
    sentence: str


class SeriesReport(Part):
    """One series of the input: chosen, or not and why."""

    series_instance_uid: str
    series_number: int | None
    series_description: str
    modality: str
    num_instances: int
    chosen: bool
    code: str
    sentence: str


class ModelReport(Part):
    """One network that took part."""

    name: str
    kind: str
    """detection, segmentation or classification."""
    version: str
    sha256: str
    """Of its weights."""
    operating_point: str | None
    """Name of the threshold in use; null where the network has none."""
    false_positives_per_scan: Rounded | None
    """At that operating point, as measured for the model's record; null where that was not measured."""


class RunReport(Part):
    """How the result was computed. Seconds and memory differ from run to run; nothing else in the report does."""

    runtime: str
    device: str
    settings_sha256: str
    seconds_by_stage: dict[str, Rounded]
    """Up to this report; making and writing the results, this file among them, comes after and is not in it."""
    peak_memory_mib: Rounded | None
    """Largest resident memory of the process."""


class Report(Part):
    """The result of one study."""

    report_version: Version
    status: Literal["completed"]
    disclaimer: str
    software: SoftwareReport
    result_uid: str
    """Derived from the input, the models, the settings, the software and the runtime: equal ones have equal results."""
    study: StudyReport
    protocol: ProtocolReport
    classification_result: Suspicion | Literal["no nodule found"]
    """Of the study: the finding with the highest overall_suspicion, in a word."""
    classification_finding_id: str | None
    """Which finding that is; null where there is none."""
    classification_confidence: Share | None
    """That finding's overall_suspicion: how suspicious LIDC's readers would find it, times the probability that it is a
    nodule at all. It is no diagnosis, no measure of disease and no certainty of the result. Null where no nodule was
    found."""
    findings: tuple[FindingReport, ...]
    """By falling overall_suspicion; all at or above the operating point, unless there is a cap."""
    findings_cap: int | None
    """At most so many findings are listed; null: no cap."""
    segmentation: SegmentationReport | None
    """Null where there is no finding or no DICOM SEG was asked for."""
    structured_report: StructuredReport | None
    """Null where no DICOM SR was asked for; there is one without a finding, too."""
    candidates: CandidatesReport
    lungs: LungsReport
    quality: tuple[CheckReport, ...]
    series_considered: tuple[SeriesReport, ...]
    """Every series of the input, the chosen one first."""
    files_passed_over: dict[str, int]
    """Files that were left aside, by coded reason."""
    coordinate_frame: str
    models: tuple[ModelReport, ...]
    run: RunReport


class FailureReport(Part):
    """Why a study was not read."""

    report_version: Version
    status: Literal["refused", "failed"]
    """Refused: for a reason that the user can act on. Failed: by an error of the program."""
    disclaimer: str
    software: SoftwareReport
    code: str
    """Reason in kebab case; stable across versions. ``internal-error`` where the program failed."""
    sentence: str
    advice: str
    """What the user can do about it; empty where the sentence says so."""
    stage: str
    """The stage that could not go on; ``order`` before the first one, ``after`` a stage between two."""
    series_considered: tuple[SeriesReport, ...]
    files_passed_over: dict[str, int]
    """Files that were left aside, by coded reason."""


AnyReport = Report | FailureReport


def report_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``report.json``, for results and refusals alike."""
    adapter: TypeAdapter[AnyReport] = TypeAdapter(Annotated[AnyReport, Field(discriminator="status")])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:lung-nodules:report:{REPORT_VERSION}",
        "title": "Report of the lung-nodule reader",
        **adapter.json_schema(mode="serialization"),
    }
