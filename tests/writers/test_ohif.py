"""What we write is what OHIF's loaders take: shown, drawn where it was measured, and nothing that stops them."""

import pydicom
import pytest
from ohif_rules import RefusedError, list_measurements, load_segmentation, load_structured_report
from report_examples import drawn_study, scan_study

from lung_nodules.settings import Settings
from lung_nodules.writers.dicom_seg import SERIES_DESCRIPTION, write_dicom_seg
from lung_nodules.writers.dicom_sr import write_dicom_sr

SCANS = ["LIDC-IDRI-0001", "LIDC-IDRI-0003"]


@pytest.fixture(scope="module", params=["drawn", *(pytest.param(scan, marks=pytest.mark.real_data) for scan in SCANS)])
def written(request, tmp_path_factory):
    """A study, its report, its SEG and its SR."""
    drawn = request.param == "drawn"
    study = drawn_study() if drawn else scan_study(request.getfixturevalue("shared_data"), request.param)
    report, folder = study.report(), tmp_path_factory.mktemp("ohif")
    (seg,) = write_dicom_seg(report, study.volume, study.outlines, folder)
    (sr,) = write_dicom_sr(report, study.volume, folder)
    return study, report, seg, sr


def test_every_segment_is_shown_on_the_ct(written):
    study, report, seg, _ = written
    segmentation = pydicom.dcmread(seg)
    images = {header.SOPInstanceUID for header in study.volume.headers}
    labels = load_segmentation(segmentation, study.volume.headers[0].SeriesInstanceUID, images)
    assert labels == [f"Nodule {finding.finding_id}" for finding in report.findings]
    assert segmentation.SeriesDescription == SERIES_DESCRIPTION  # the name of the display set
    assert all("RecommendedDisplayCIELabValue" in segment for segment in segmentation.SegmentSequence)


def test_every_finding_is_one_measurement_that_is_drawn(written):
    study, report, _, sr = written
    drawn = load_structured_report(pydicom.dcmread(sr))
    assert [each.tracking_uid for each in drawn] == [finding.tracking_uid for finding in report.findings]
    for each, finding in zip(drawn, report.findings, strict=True):
        size = finding.size
        assert each.graphic_type == "POLYLINE"
        assert each.sop_instance_uid == size.axes_slice.sop_instance_uid
        assert each.sop_class_uid == study.volume.headers[0].SOPClassUID
        rows, columns = study.volume.geometry.shape[1:]
        assert (each.points >= 0).all()
        assert (each.points <= (columns, rows)).all()


def test_every_finding_is_listed_by_name_with_its_axes(written):
    _, report, _, sr = written
    listed, drawn = list_measurements(pydicom.dcmread(sr)), load_structured_report(pydicom.dcmread(sr))
    assert len(listed) == len(report.findings)
    for each, region, finding in zip(listed, drawn, report.findings, strict=True):
        assert each.tracking_uid == finding.tracking_uid
        assert each.label == f"{finding.finding_id} {finding.suspicion}"
        assert each.lengths_mm == pytest.approx((finding.size.long_axis_mm, finding.size.short_axis_mm))
        assert each.sop_instance_uid == region.sop_instance_uid
        assert each.ends == pytest.approx(region.points[[0, 6, 2, 4]])


def test_the_labels_begin_with_the_axes_and_leave_nothing_out(written):
    _, report, _, sr = written
    for each, finding in zip(load_structured_report(pydicom.dcmread(sr)), report.findings, strict=True):
        size = finding.size
        assert each.labels[:4] == (
            f"Long Axis {size.long_axis_mm:.2f} mm",
            f"Short Axis {size.short_axis_mm:.2f} mm",
            f"Diameter {size.mean_diameter_mm:.2f} mm",
            f"Volume {size.volume_mm3:.2f} mm3",
        )
        assert len(each.labels) == 9


def test_a_study_without_a_finding_loads_and_draws_nothing(tmp_path):
    study = drawn_study().without_findings()
    (sr,) = write_dicom_sr(study.report(), study.volume, tmp_path)
    (nothing,) = load_structured_report(pydicom.dcmread(sr))
    assert nothing.graphic_type is None
    assert nothing.labels == ()


def test_without_a_seg_all_labels_are_there(tmp_path):
    study = drawn_study(num_nodules=1)
    (sr,) = write_dicom_sr(study.report(settings=Settings(outputs=("dicom_sr",))), study.volume, tmp_path)
    (drawn,) = load_structured_report(pydicom.dcmread(sr))
    assert len(drawn.labels) == 9


def _no_library(document):
    document.ContentSequence = [item for item in document.ContentSequence if _code(item) != "111028"]


def _own_title(document):
    document.ConceptNameCodeSequence[0].CodeValue = "18748-4"


def _segments_alone(document):
    (container,) = (item for item in document.ContentSequence if _code(item) == "126010")
    container.ContentSequence = list(container.ContentSequence)[2::3]


def _no_tracking_uid(document):
    (container,) = (item for item in document.ContentSequence if _code(item) == "126010")
    group = container.ContentSequence[0]
    group.ContentSequence = [item for item in group.ContentSequence if _code(item) != "112040"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_no_library, "111028"),
        (_own_title, "Imaging Measurement Reports"),
        (_segments_alone, "without coordinates"),
        (_no_tracking_uid, "112040"),
    ],
)
def test_each_rule_of_the_sr_is_one_that_can_be_broken(change, words, tmp_path):
    study = drawn_study()
    (sr,) = write_dicom_sr(study.report(), study.volume, tmp_path)
    document = pydicom.dcmread(sr)
    change(document)
    with pytest.raises(RefusedError, match=words):
        load_structured_report(document)


def _axes_without_ends(document):
    (container,) = (item for item in document.ContentSequence if _code(item) == "126010")
    for item in container.ContentSequence[0].ContentSequence:
        if item.ValueType == "NUM":
            del item.ContentSequence


def _other_names(document):
    (container,) = (item for item in document.ContentSequence if _code(item) == "126010")
    for item in container.ContentSequence[0].ContentSequence:
        if item.ValueType == "NUM":
            item.ConceptNameCodeSequence[0].CodeMeaning = "Length"


@pytest.mark.parametrize(
    ("change", "words"), [(_axes_without_ends, "its ends"), (_other_names, "Long Axis is missing")]
)
def test_each_rule_of_the_list_is_one_that_can_be_broken(change, words, tmp_path):
    study = drawn_study()
    (sr,) = write_dicom_sr(study.report(), study.volume, tmp_path)
    document = pydicom.dcmread(sr)
    change(document)
    with pytest.raises(RefusedError, match=words):
        list_measurements(document)


def test_each_rule_of_the_seg_is_one_that_can_be_broken(tmp_path):
    study = drawn_study()
    (seg,) = write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path)
    segmentation, series = pydicom.dcmread(seg), study.volume.headers[0].SeriesInstanceUID
    with pytest.raises(RefusedError, match="not loaded"):
        load_segmentation(segmentation, "1.2", [])
    with pytest.raises(RefusedError, match="source image"):
        load_segmentation(segmentation, series, [])
    del segmentation.ReferencedSeriesSequence
    with pytest.raises(RefusedError, match="no display set"):
        load_segmentation(segmentation, series, [])


def _code(item):
    return item.ConceptNameCodeSequence[0].CodeValue
