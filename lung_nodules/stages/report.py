"""From everything that was found to the report.

The report is the only thing that the outside world sees: writers, service, page and gateway read it and nothing else.
Its UIDs are derived here, before anything is written, so that it can name the files beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, SegmentationStorage

from lung_nodules.errors import ExitCode, Refusal
from lung_nodules.settings import ReportSettings, Settings
from lung_nodules.stages.classification import Finding
from lung_nodules.stages.identifiers import derive_result_uid, derive_uid
from lung_nodules.stages.instances import PassedOver
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.quality import Quality
from lung_nodules.stages.report_model import (
    COORDINATE_FRAME,
    DISCLAIMER,
    REPORT_VERSION,
    CandidatesReport,
    CheckReport,
    Density,
    DocumentReference,
    FailureReport,
    FindingReport,
    LungsReport,
    ModelReport,
    PositionReport,
    Report,
    RunReport,
    SegmentationReport,
    SegmentReference,
    SeriesReport,
    Side,
    SizeReport,
    SliceReport,
    SoftwareReport,
    StructuredReport,
    Suspicion,
)
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.series import Selection
from lung_nodules.stages.study import describe_protocol, describe_study, digest_identity, read_int, viewer_numbers
from lung_nodules.stages.survey import ConsideredSeries
from lung_nodules.stages.volume import Volume

SOFTWARE_NAME = "lung-nodules"
SEGMENTATION_FILE = "segmentation.dcm"
STRUCTURED_REPORT_FILE = "structured_report.dcm"

_SR_STORAGE = {"comprehensive-3d": Comprehensive3DSRStorage, "comprehensive": ComprehensiveSRStorage}


@dataclass(frozen=True)
class ModelIdentity:
    """One network that took part in a run."""

    name: str
    kind: str  # "detection", "segmentation" or "classification"
    version: str
    sha256: str  # of the weights
    operating_point: str | None = None  # name of the threshold in use
    false_positives_per_scan: float | None = None  # at that operating point; None where it was not measured


@dataclass(frozen=True)
class Provenance:
    """How a run was made."""

    software_version: str
    models: tuple[ModelIdentity, ...]
    runtime: str  # name, version and precision, for example "openvino 2026.4.0 bf16"
    device: str  # for example "cpu: 2 threads"
    settings_sha256: str  # see `identifiers.digest_settings`
    records_sha256: str = ""  # of the models' records: thresholds, heads, preprocessing
    passed_over: tuple[PassedOver, ...] = ()
    seconds_by_stage: Mapping[str, float] = field(default_factory=dict)
    peak_memory_mib: float | None = None


class EarlierDocument(DocumentReference):
    """The SR of an earlier version of a study, as an archive has it."""

    predecessor: DocumentReference | None
    """What it supersedes itself."""


def build_report(
    selection: Selection,
    quality: Quality,
    volume: Volume,
    lungs: Lungs,
    outlines: Outlines,
    findings: Sequence[Finding],
    provenance: Provenance,
    settings: Settings,
    earlier: EarlierDocument | None = None,
) -> Report:
    """Put together the report of one study.

    Args:
        selection: The series that was read, and the others.
        quality: The checks of it.
        volume: The CT; its headers give the patient, the protocol and the names of the slices.
        lungs: The lungs in it.
        outlines: The outlined candidates.
        findings: Those that are nodules.
        provenance: How the run was made; its times change no UID.
        settings: Of the run.
        earlier: The SR of the version of the study before, which this one's supersedes unless it is of the same result.

    Returns:
        The report; its findings are ordered by falling overall suspicion.
    """
    result_uid = _result_uid(selection, provenance)
    segmentation = _segmentation(result_uid, volume, findings, settings)
    slices = _describe_slices(volume)
    ordered = sorted(findings, key=lambda finding: -finding.overall_suspicion)
    reported = tuple(
        _describe_finding(finding, number, slices, result_uid, segmentation, settings.report)
        for number, finding in enumerate(ordered, start=1)
    )
    header = volume.headers[0] if volume.headers else selection.instances[0].header
    first = reported[0] if reported else None
    return Report(
        report_version=REPORT_VERSION,
        status="completed",
        disclaimer=DISCLAIMER,
        software=SoftwareReport(name=SOFTWARE_NAME, version=provenance.software_version),
        result_uid=result_uid,
        study=describe_study(header, selection.study_instance_uid, selection.series_instance_uid),
        protocol=describe_protocol(header, volume.geometry),
        classification_result=first.suspicion if first else "no nodule found",
        classification_finding_id=first.finding_id if first else None,
        classification_confidence=first.overall_suspicion if first else None,
        findings=reported,
        findings_cap=settings.classification.max_findings,
        segmentation=segmentation,
        structured_report=_structured_report(result_uid, volume, settings, earlier),
        candidates=_count_candidates(outlines, reported),
        lungs=_describe_lungs(lungs),
        quality=tuple(CheckReport(**asdict(check)) for check in quality.checks),
        series_considered=_describe_series(selection.considered),
        files_passed_over=_count_passed_over(provenance.passed_over),
        coordinate_frame=COORDINATE_FRAME,
        models=tuple(ModelReport(**asdict(model)) for model in provenance.models),
        run=RunReport(
            runtime=provenance.runtime,
            device=provenance.device,
            settings_sha256=provenance.settings_sha256,
            seconds_by_stage=dict(provenance.seconds_by_stage),
            peak_memory_mib=provenance.peak_memory_mib,
        ),
    )


def build_failure_report(
    refusal: Refusal,
    stage: str,
    software_version: str,
    considered: Sequence[ConsideredSeries] = (),
    passed_over: Sequence[PassedOver] = (),
) -> FailureReport:
    """Put together the report of a study that was not read.

    Args:
        refusal: Why the line could not go on; with `ExitCode.INTERNAL_ERROR` it was the program's fault.
        stage: Name of the stage that said so.
        software_version: Of this package.
        considered: The series of the input, as far as the line got to know them.
        passed_over: The files that were left aside.
    """
    return FailureReport(
        report_version=REPORT_VERSION,
        status="failed" if refusal.exit_code is ExitCode.INTERNAL_ERROR else "refused",
        disclaimer=DISCLAIMER,
        software=SoftwareReport(name=SOFTWARE_NAME, version=software_version),
        code=refusal.code,
        sentence=refusal.sentence,
        advice=refusal.advice,
        stage=stage,
        series_considered=_describe_series(considered),
        files_passed_over=_count_passed_over(passed_over),
    )


def _result_uid(selection: Selection, provenance: Provenance) -> str:
    return derive_result_uid(
        selection.series_instance_uid,
        (str(instance.header.SOPInstanceUID) for instance in selection.instances),
        (model.sha256 for model in provenance.models),
        provenance.records_sha256,
        provenance.settings_sha256,
        f"{SOFTWARE_NAME} {provenance.software_version}",
        provenance.runtime,
        digest_identity(selection.instances[0].header),
    )


def _segmentation(
    result_uid: str, volume: Volume, findings: Sequence[Finding], settings: Settings
) -> SegmentationReport | None:
    """Name the SEG, or None: without a finding, a DICOM source or the wish for one there is none to write."""
    if not findings or not volume.headers or "dicom_seg" not in settings.outputs:
        return None
    return SegmentationReport(
        sop_class_uid=SegmentationStorage,
        series_instance_uid=derive_uid(result_uid, "segmentation series"),
        sop_instance_uid=derive_uid(result_uid, "segmentation instance"),
        file_name=SEGMENTATION_FILE,
    )


def _structured_report(
    result_uid: str, volume: Volume, settings: Settings, earlier: EarlierDocument | None
) -> StructuredReport | None:
    """Name the SR, or None: without a DICOM source or the wish for one there is none to write."""
    if not volume.headers or "dicom_sr" not in settings.outputs:
        return None
    series_instance_uid = derive_uid(result_uid, "structured report series")
    predecessor = _find_predecessor(series_instance_uid, earlier)
    superseded = () if predecessor is None else (predecessor.sop_instance_uid,)
    return StructuredReport(
        sop_class_uid=_SR_STORAGE[settings.dicom_sr.sop_class],
        series_instance_uid=series_instance_uid,
        sop_instance_uid=derive_uid(result_uid, "structured report instance", *superseded),
        file_name=STRUCTURED_REPORT_FILE,
        predecessor=predecessor,
    )


def _find_predecessor(series_instance_uid: str, earlier: EarlierDocument | None) -> DocumentReference | None:
    """What a document supersedes; an earlier one of its series, and so of the same result, is the document itself."""
    if earlier is None:
        return None
    if earlier.series_instance_uid == series_instance_uid:
        return earlier.predecessor
    return DocumentReference.model_validate(earlier.model_dump(exclude={"predecessor"}))


def _describe_slices(volume: Volume) -> tuple[SliceReport, ...]:
    """One entry a slice; without headers the UIDs are empty and viewers count along the normal."""
    if not volume.headers:
        count = volume.geometry.shape[0]
        return tuple(
            SliceReport(index=k, viewer_number=k + 1, sop_instance_uid="", instance_number=None) for k in range(count)
        )
    return tuple(
        SliceReport(
            index=index,
            viewer_number=viewer_number,
            sop_instance_uid=str(header.SOPInstanceUID),
            instance_number=read_int(header, "InstanceNumber"),
        )
        for index, (header, viewer_number) in enumerate(
            zip(volume.headers, viewer_numbers(volume.headers), strict=True)
        )
    )


def _describe_finding(
    finding: Finding,
    segment_number: int,
    slices: Sequence[SliceReport],
    result_uid: str,
    segmentation: SegmentationReport | None,
    settings: ReportSettings,
) -> FindingReport:
    nodule = finding.nodule
    tracking_uid = derive_uid(result_uid, "finding", finding.finding_id)
    segment = _refer_to_segment(segmentation, segment_number)
    return FindingReport(
        finding_id=finding.finding_id,
        tracking_id=f"{finding.finding_id}-{tracking_uid[-8:]}",
        tracking_uid=tracking_uid,
        outline_label=nodule.label,
        segment=segment,
        suspicion=_suspicion_word(finding.overall_suspicion, settings),
        overall_suspicion=finding.overall_suspicion,
        suspicion_score=finding.suspicion_score,
        nodule_probability=finding.nodule_probability,
        candidate_score=nodule.candidate_score,
        characteristics=finding.characteristics,
        density=Density(nodule.density),
        solid_fraction=nodule.solid_fraction,
        mean_hu=nodule.mean_hu,
        position=PositionReport(
            side=Side(nodule.side) if nodule.side else None,
            center_lps_mm=nodule.center_lps,
            center_voxel=nodule.center_ijk,
            slice=slices[nodule.key_slice],
        ),
        size=SizeReport(
            long_axis_mm=nodule.long_axis_mm,
            short_axis_mm=nodule.short_axis_mm,
            mean_diameter_mm=nodule.mean_diameter_mm,
            axes_slice=slices[nodule.long_axis_slice],
            long_axis_ends_lps_mm=nodule.long_axis_ends_lps,
            short_axis_ends_lps_mm=nodule.short_axis_ends_lps,
            volume_mm3=nodule.volume_mm3,
            equivalent_sphere_diameter_mm=nodule.equivalent_sphere_diameter_mm,
        ),
        features=nodule.features,
    )


def _refer_to_segment(segmentation: SegmentationReport | None, segment_number: int) -> SegmentReference | None:
    if segmentation is None:
        return None
    return SegmentReference(sop_instance_uid=segmentation.sop_instance_uid, segment_number=segment_number)


def _suspicion_word(overall: float, settings: ReportSettings) -> Suspicion:
    if overall >= settings.suspicious_from_score:
        return "suspicious"
    return "indeterminate" if overall >= settings.indeterminate_from_score else "unlikely"


def _count_candidates(outlines: Outlines, reported: Sequence[FindingReport]) -> CandidatesReport:
    return CandidatesReport(
        reported=len(reported),
        rejected=len(outlines.candidates) - len(reported),
        merged=outlines.num_merged,
        without_outline=outlines.num_without_outline,
        outside_lungs=outlines.num_outside_lungs,
        not_examined=outlines.num_not_examined,
    )


def _describe_lungs(lungs: Lungs) -> LungsReport:
    slices, rows, columns = lungs.bounding_box
    return LungsReport(
        right_litres=lungs.right_litres,
        left_litres=lungs.left_litres,
        bounding_box_voxel=(
            (int(slices.start), int(rows.start), int(columns.start)),
            (int(slices.stop) - 1, int(rows.stop) - 1, int(columns.stop) - 1),
        ),
    )


def _describe_series(considered: Sequence[ConsideredSeries]) -> tuple[SeriesReport, ...]:
    return tuple(SeriesReport(**asdict(series)) for series in considered)


def _count_passed_over(passed_over: Sequence[PassedOver]) -> dict[str, int]:
    return dict(sorted(Counter(file.code for file in passed_over).items()))
