"""The content tree of the structured report: TID 1500 of PS3.16, from a report.

Each finding has three measurement groups under one tracking UID, that of its segment in the SEG: its two axes (TID
1501), each with its ends on the slice; a planar one (TID 1410) whose image region draws both axes in one line; and a
volumetric one (TID 1411) that refers to the segment. Where no SEG is written, the planar group holds what it would say.

OHIF takes the groups of one tracking UID for one measurement. It lists it, and lets a reader change it, only where the
first tracking identifier begins with the name of one of its tools and that tool finds what it needs: the one of two
axes needs the ends of each beside its length; a comment becomes the name in the list. Before that it draws the image
region; earlier versions stop at a group whose numbers have no place.

Texts are plain ASCII, so that they read the same in whatever character set the CT's names are written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pydicom
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageContentItem,
    ImageLibraryEntryDescriptors,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from lung_nodules.stages.identifiers import derive_uid
from lung_nodules.stages.report_model import FindingReport, Report
from lung_nodules.stages.volume import Volume
from lung_nodules.writers import dicom_codes as coded
from lung_nodules.writers.dicom_source import MANUFACTURER, build_object_sources, describe_device, name_version
from lung_nodules.writers.dicom_sr_readings import (
    Revision,
    describe_reading,
    observe_person,
    replaced_by,
    say_what_was_rejected,
)

Points = npt.NDArray[np.float64]
Described = TypeVar("Described", Measurement, QualitativeEvaluation)

_ALL_KINDS = ("detection", "segmentation", "classification")
_TOOL_OF_TWO_AXES = "Cornerstone3DTools@^0.1.0:Bidirectional"  # cornerstone3D, packages/adapters, Bidirectional.ts
_TLHC = 0.5  # from a pixel's centre to the top left hand corner, where image coordinates begin (PS3.3 C.18.6.1)
_OF_ONE_IMAGE = {
    codes.DCM.ImagePositionPatientX,
    codes.DCM.ImagePositionPatientY,
    codes.DCM.ImagePositionPatientZ,
}


def build_content(report: Report, volume: Volume, revision: Revision | None = None) -> pydicom.Dataset:
    """Build the root container (TID 1500).

    Args:
        report: What was found; with a revision, of that what readers have left.
        volume: The CT; its headers name the images, its geometry turns places into image coordinates.
        revision: What readers said about it; None: nothing.

    Returns:
        The root content item, with an Image Library (TID 1600) of all images that were read, two or three measurement
        groups a finding, and what can be said of the whole study. Without a finding one group (TID 1501) says that a
        nodule was looked for and is absent.
    """
    groups = [group for each in report.findings for group in _describe_finding(each, report, volume, revision)]
    document = MeasurementReport(
        observation_context=_observe(report, revision),
        procedure_reported=coded.CHEST_CT,
        imaging_measurements=groups or [_describe_absence(report)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    root = document[0]
    library, measurements = _list_images(volume), root.ContentSequence.pop()
    for item in (library, measurements, _describe_study(report, revision)):
        root.ContentSequence.append(item)
    return root


def axes_path(long_axis: npt.ArrayLike, short_axis: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """One line that draws both axes: along the long one, across it there and back where they cross, and on.

    Args:
        long_axis: Its two ends [2, 2].
        short_axis: Its two ends [2, 2], perpendicular to it.

    Returns:
        Seven points [7, 2].
    """
    (start, end), (low, high) = np.asarray(long_axis, dtype=float), np.asarray(short_axis, dtype=float)
    along = end - start
    length = float(along @ along)
    crossing = start + along * (float((low - start) @ along) / length if length else 0.0)
    return np.array([start, crossing, low, crossing, high, crossing, end])


def _observe(report: Report, revision: Revision | None) -> ObservationContext:
    """This software as the observer, after the readers; its UID is that of the software with these models anywhere."""
    device = describe_device(report)
    attributes = DeviceObserverIdentifyingAttributes(
        uid=derive_uid("device", *device.values()),
        name=report.software.name,
        manufacturer_name=MANUFACTURER,
        model_name=f"{report.software.name} {report.software.version}",
        serial_number=device["device_serial_number"],
    )
    observed = ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=attributes)
    context = ObservationContext()
    for each in (*map(observe_person, revision.readers if revision else ()), observed):
        context.extend(each)
    return context


def _list_images(volume: Volume) -> ContainerContentItem:
    """The Image Library: what all images have in common once, then a reference to each."""
    sources = build_object_sources(volume)
    shared = [item for item in ImageLibraryEntryDescriptors(sources[0]) if item.name not in _OF_ONE_IMAGE]
    group = _container(coded.IMAGE_LIBRARY_GROUP, [*shared, *(_refer_to_image(source) for source in sources)])
    return _container(coded.IMAGE_LIBRARY, [group])


def _refer_to_image(source: pydicom.Dataset) -> ImageContentItem:
    return ImageContentItem(
        name=coded.SOURCE,
        referenced_sop_class_uid=source.SOPClassUID,
        referenced_sop_instance_uid=source.SOPInstanceUID,
        relationship_type=RelationshipTypeValues.CONTAINS,
    )


def _container(name: Code, items: Sequence[pydicom.Dataset]) -> ContainerContentItem:
    container = ContainerContentItem(name=name, relationship_type=RelationshipTypeValues.CONTAINS)
    container.ContentSequence = ContentSequence(items)
    return container


def _describe_finding(
    finding: FindingReport, report: Report, volume: Volume, revision: Revision | None
) -> list[ContentSequence]:
    reading = revision.readings.get(finding.finding_id) if revision else None
    axes, image = _place_axes(finding, volume)
    found = {
        "finding_category": coded.ABNORMAL_STRUCTURE,
        "finding_type": coded.NODULE,
        "finding_sites": [
            FindingSite(coded.LUNG, coded.LATERALITY[finding.position.side] if finding.position.side else None)
        ],
    }
    common = {**found, "algorithm_id": _identify_algorithm(report)}
    bidirectional = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(finding.tracking_uid, f"{_TOOL_OF_TWO_AXES}:{finding.tracking_id}"),
        measurements=_measure_axes(finding, axes, image),
        **common,
    )
    name = _name_finding(finding, revision)
    bidirectional[0].ContentSequence.append(TextContentItem(coded.COMMENT, name, RelationshipTypeValues.CONTAINS))
    region = ImageRegion("POLYLINE", axes_path(*axes), image)
    groups = [bidirectional, *_describe_regions(finding, report, region, common, replaced_by(reading))]
    if reading is not None:
        tracked = {"tracking_identifier": TrackingIdentifier(finding.tracking_uid, finding.tracking_id), **found}
        groups.append(describe_reading(reading, tracked))
    return groups


def _name_finding(finding: FindingReport, revision: Revision | None) -> str:
    """What a viewer calls it in its list."""
    if revision is None or finding.finding_id not in revision.readings:
        return f"{finding.finding_id} {finding.suspicion}"
    verdict = revision.readings[finding.finding_id].verdict
    return f"{finding.finding_id} {revision.words[finding.finding_id]}, {verdict}"


def _describe_regions(
    finding: FindingReport,
    report: Report,
    region: ImageRegion,
    common: Mapping[str, Any],
    replaced: Collection[Code],
) -> list[ContentSequence]:
    """The planar group, and the volumetric one where there is a segment; without what a reader has replaced."""
    tracked = {"tracking_identifier": TrackingIdentifier(finding.tracking_uid, finding.tracking_id), **common}
    planar = _without([_measure_diameter(finding)], replaced)
    volumetric, evaluations = _without(_measure_volume(finding), replaced), _without(_evaluate(finding), replaced)
    if finding.segment is None:
        measurements = [*planar, *volumetric]
        return [
            PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=region, measurements=measurements, qualitative_evaluations=evaluations, **tracked
            )
        ]
    segment = ReferencedSegment(
        SegmentationStorage,
        finding.segment.sop_instance_uid,
        finding.segment.segment_number,
        source_series=SourceSeriesForSegmentation(report.study.series_instance_uid),
    )
    return [
        PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, measurements=planar, **tracked),
        VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=segment, measurements=volumetric, qualitative_evaluations=evaluations, **tracked
        ),
    ]


def _without(items: Sequence[Described], replaced: Collection[Code]) -> list[Described]:
    return [item for item in items if not any(item.name == concept for concept in replaced)]


def _identify_algorithm(report: Report) -> AlgorithmIdentification:
    """This software, with each network, its operating point and the digest of its weights as a parameter."""
    parameters = [
        f"{model.kind}: {model.name} {model.version}, operating point {model.operating_point or 'none'}, "
        f"SHA-256 {model.sha256}"
        for model in report.models
    ]
    return AlgorithmIdentification(
        name=report.software.name,
        version=name_version(report, _ALL_KINDS),
        parameters=parameters,
        family=coded.ARTIFICIAL_INTELLIGENCE,
        manufacturer=MANUFACTURER,
    )


def _place_axes(finding: FindingReport, volume: Volume) -> tuple[list[Points], SourceImageForRegion]:
    """The ends [2, 2] of the long and of the short axis, column and row, and the slice that they were measured in."""
    size = finding.size
    index = size.axes_slice.index
    axes = [
        volume.geometry.to_index(ends)[:, :0:-1] + _TLHC  # columns, rows
        for ends in (size.long_axis_ends_lps_mm, size.short_axis_ends_lps_mm)
    ]
    header = volume.headers[index]
    image = SourceImageForRegion(
        header.SOPClassUID,
        header.SOPInstanceUID,
        [volume.frame_numbers[index]] if volume.frame_numbers else None,
    )
    return axes, image


def _measure_axes(finding: FindingReport, axes: Sequence[Points], image: SourceImageForRegion) -> list[Measurement]:
    lengths = {coded.LONG_AXIS: finding.size.long_axis_mm, coded.SHORT_AXIS: finding.size.short_axis_mm}
    return [
        Measurement(
            name,
            length_mm,
            coded.MILLIMETER,
            referenced_coordinates=[CoordinatesForMeasurement("POLYLINE", ends, image)],
        )
        for (name, length_mm), ends in zip(lengths.items(), axes, strict=True)
    ]


def _measure_diameter(finding: FindingReport) -> Measurement:
    return Measurement(coded.DIAMETER, finding.size.mean_diameter_mm, coded.MILLIMETER, derivation=coded.MEAN)


def _measure_volume(finding: FindingReport) -> list[Measurement]:
    size = finding.size
    return [
        Measurement(coded.VOLUME, size.volume_mm3, coded.CUBIC_MILLIMETER),
        Measurement(coded.EQUIVALENT_DIAMETER, size.equivalent_sphere_diameter_mm, coded.MILLIMETER),
        Measurement(coded.ATTENUATION, finding.mean_hu, coded.HOUNSFIELD, derivation=coded.MEAN),
        Measurement(coded.SUSPICION_SCORE, finding.suspicion_score, coded.NO_UNITS),
        Measurement(coded.NODULE_PROBABILITY, finding.nodule_probability, coded.NO_UNITS),
        Measurement(coded.OVERALL_SUSPICION, finding.overall_suspicion, coded.NO_UNITS),
    ]


def _evaluate(finding: FindingReport) -> list[QualitativeEvaluation]:
    graded = (coded.grade_characteristic(name, rating) for name, rating in finding.characteristics.items())
    return [
        QualitativeEvaluation(coded.SUSPICION, coded.SUSPICIONS[finding.suspicion]),
        QualitativeEvaluation(coded.DENSITY, coded.DENSITIES[finding.density]),
        *(QualitativeEvaluation(*pair) for pair in graded if pair is not None),
    ]


def _describe_absence(report: Report) -> MeasurementsAndQualitativeEvaluations:
    """A group that says that a nodule was looked for and is absent."""
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(derive_uid(report.result_uid, "no finding"), "No nodule found"),
        finding_sites=[FindingSite(coded.LUNG)],
        algorithm_id=_identify_algorithm(report),
        qualitative_evaluations=[QualitativeEvaluation(coded.NODULE, coded.ABSENT)],
    )


def _describe_study(report: Report, revision: Revision | None) -> ContainerContentItem:
    """The container Qualitative Evaluations: what is true of the whole study, and what this document is not."""
    evaluations = [(coded.NODULE, coded.PRESENT if report.findings else coded.ABSENT)]
    worst = report.findings[0].suspicion if report.findings else None
    if revision is not None:
        worst = revision.result
    if worst is not None:
        evaluations.append((coded.SUSPICION, coded.SUSPICIONS[worst]))
    items = [CodeContentItem(name, value, RelationshipTypeValues.CONTAINS) for name, value in evaluations]
    rejected = say_what_was_rejected(revision) if revision else []
    texts = [_say_what_was_looked_for(report), _say_what_was_found(report), *rejected, report.disclaimer]
    comments = [TextContentItem(coded.COMMENT, text, RelationshipTypeValues.CONTAINS) for text in texts]
    return _container(coded.QUALITATIVE_EVALUATIONS, [*items, *comments])


def _say_what_was_looked_for(report: Report) -> str:
    points = [model.operating_point for model in report.models if model.kind == "classification"]
    return (
        f"Looked for: pulmonary nodules in {report.protocol.num_slices} slices "
        f"{report.protocol.spacing_mm[0]:g} mm apart, "
        f"right lung {report.lungs.right_litres:.2f} L, left lung {report.lungs.left_litres:.2f} L, "
        f"operating point {points[0] if points and points[0] else 'none'}. "
        "The models learned from nodules of 3 to 30 mm; others may be missed."
    )


def _say_what_was_found(report: Report) -> str:
    count = len(report.findings)
    found = {0: "No nodule found.", 1: "1 nodule found."}.get(count, f"{count} nodules found.")
    capped = "" if report.findings_cap is None else f" At most {report.findings_cap} are listed."
    return (
        f"{found}{capped} Suspicion is what LIDC's readers would suspect, learned from their ratings, times the "
        "probability that it is a nodule; it is no diagnosis and no measure of disease."
    )
