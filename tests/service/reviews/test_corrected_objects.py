"""The corrected SR and SEG, read back by highdicom, held against dciodvfy and OHIF's rules."""

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_checkers import errors_of, inconsistencies_of, read_measurements
from highdicom.sr import srread
from ohif_rules import list_measurements, load_segmentation, load_structured_report
from report_examples import drawn_study, scan_study, study_of, study_with_name_of
from reviewed_studies import review, write_job

from lung_nodules.service.reviews.model import Characteristics, NothingReviewed, NothingToCorrect
from lung_nodules.service.reviews.objects import write_report_object, write_segmentation_object
from lung_nodules.settings import Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.series import select_series
from lung_nodules.stages.volume import build_volume

SETTINGS = Settings()
REVIEWS = [
    review("N1", "corrected", 1, diameter_mm=8.4, suspicion=4, characteristics=Characteristics(margin=1, texture=5)),
    review("N2", "rejected", 2, comment="A vessel.", reviewed_by="Bo Chen"),
    review("N3", "accepted", 3, comment="Agreed."),
]
SCAN = pytest.param("LIDC-IDRI-0003", marks=pytest.mark.real_data)


@pytest.fixture(scope="module", params=["drawn", SCAN])
def corrected(request, tmp_path_factory):
    """The study, the results of its job, and its corrected SR and SEG."""
    drawn = request.param == "drawn"
    study = drawn_study(num_nodules=4) if drawn else scan_study(request.getfixturevalue("shared_data"), request.param)
    folder = tmp_path_factory.mktemp("corrected")
    source = write_job(study, folder)
    sr, seg = folder / "corrected.dcm", folder / "corrected_segmentation.dcm"
    write_report_object(source, REVIEWS, sr, SETTINGS)
    write_segmentation_object(source, REVIEWS, seg, SETTINGS)
    return study, source, sr, seg


def test_dciodvfy_finds_no_error(corrected):
    assert errors_of(corrected[2]) == errors_of(corrected[3]) == []


def test_it_is_another_document_that_names_the_one_before_it(corrected):
    _, source, sr, _ = corrected
    document, original = pydicom.dcmread(sr), pydicom.dcmread(source.results.path("structured_report.dcm"))
    assert document.SOPInstanceUID != original.SOPInstanceUID
    assert document.SeriesInstanceUID != original.SeriesInstanceUID
    (study,) = document.PredecessorDocumentsSequence
    assert study.StudyInstanceUID == original.StudyInstanceUID == document.StudyInstanceUID
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == original.SeriesInstanceUID
    (instance,) = series.ReferencedSOPSequence
    assert instance.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert instance.ReferencedSOPClassUID == original.SOPClassUID
    assert (document.VerificationFlag, document.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert (document.ContentDate, document.ContentTime) == ("20261123", "123000")
    for keyword in ("PatientName", "PatientID", "StudyDate", "AccessionNumber"):
        assert document.get(keyword) == original.get(keyword)


def test_persons_observe_beside_the_device(corrected):
    contexts = srread(corrected[2]).content.get_observer_contexts()
    assert [each.observer_type.meaning for each in contexts] == ["Person", "Person", "Device"]
    names = [str(each.observer_identifying_attributes.name) for each in contexts[:2]]
    assert names == ["Ann Lee^", "Bo Chen^"]


def test_the_reader_replaces_what_the_machine_said(corrected):
    _, source, sr, _ = corrected
    content, finding = srread(sr).content, source.report().findings[0]
    groups = [
        *content.get_image_measurement_groups(tracking_uid=finding.tracking_uid),
        *content.get_planar_roi_measurement_groups(tracking_uid=finding.tracking_uid),
        *content.get_volumetric_roi_measurement_groups(tracking_uid=finding.tracking_uid),
    ]
    measured = [(item.name.value, item.value) for group in groups for item in group.get_measurements()]
    names = [name for name, _ in measured]
    assert len(names) == len(set(names))
    values = dict(measured)
    assert values["81827009"] == 8.4
    assert values["SUSPICION_RATING"] == 4
    assert {"SUSPICION_SCORE", "NODULE_PROB", "OVERALL_SUSP"}.isdisjoint(names)
    assert values["103339001"] == pytest.approx(finding.size.long_axis_mm)
    found = [(e.name.value, e.value.value) for group in groups for e in group.get_qualitative_evaluations()]
    own = {"VERDICT", "SUSPICION", "DENSITY", "C25563", "C41144", "C28749"}
    evaluations = sorted(each for each in found if each[0] in own)
    readers = [("C25563", "RID5709"), ("C41144", "RID50151"), ("VERDICT", "CORRECTED")]
    machines = [("DENSITY", "RID50151")] + ([("C28749", "002")] if "spiculation" in finding.characteristics else [])
    assert evaluations == sorted([*readers, *machines])


def test_the_readers_group_names_a_person_and_no_algorithm(corrected):
    _, source, sr, _ = corrected
    for finding_id, verdict, comment in (("N1", "Corrected", None), ("N3", "Accepted", "Agreed.")):
        (group,) = _reader_groups(sr, source.report(), finding_id)
        texts = {_code(item): item for item in group.ContentSequence}
        assert texts["121008"].PersonName == "Ann Lee^"
        assert "111001" not in texts  # Algorithm Name
        assert texts["VERDICT"].ConceptCodeSequence[0].CodeMeaning == verdict
        assert (texts["121106"].TextValue if "121106" in texts else None) == comment


def test_a_rejected_finding_is_gone_and_named_with_its_reason(corrected):
    _, source, sr, _ = corrected
    rejected = source.report().findings[1]
    document = pydicom.dcmread(sr)
    (container,) = (item for item in document.ContentSequence if _code(item) == "126010")
    assert rejected.tracking_uid not in str(container)
    assert "Rejected by a reader: N2. A vessel." in _study_texts(document)


def test_the_segmentation_holds_what_is_left_voxel_for_voxel(corrected):
    study, source, _, seg = corrected
    left = [finding for finding in source.report().findings if finding.finding_id != "N2"]
    segmentation = highdicom.seg.segread(seg)
    assert [each.TrackingUID for each in segmentation.SegmentSequence] == [each.tracking_uid for each in left]
    uids = [header.SOPInstanceUID for header in study.volume.headers]
    pixels = segmentation.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    for number, finding in enumerate(left):
        np.testing.assert_array_equal(pixels[..., number], study.outlines.label_map == finding.outline_label)


def test_the_report_refers_to_the_corrected_segments(corrected, tmp_path):
    _, source, sr, seg = corrected
    uid = pydicom.dcmread(seg, stop_before_pixels=True).SOPInstanceUID
    groups = srread(sr).content.get_volumetric_roi_measurement_groups()
    left = [finding for finding in source.report().findings if finding.finding_id != "N2"]
    assert [group.tracking_uid for group in groups] == [finding.tracking_uid for finding in left]
    for number, group in enumerate(groups, start=1):
        assert _segment_of(group) == (uid, number)
    assert read_measurements(sr, tmp_path)["Measurements"]


def test_ohif_lists_and_draws_it(corrected):
    study, source, sr, seg = corrected
    document = pydicom.dcmread(sr)
    listed, drawn = list_measurements(document), load_structured_report(document)
    left = [finding for finding in source.report().findings if finding.finding_id != "N2"]
    assert [each.tracking_uid for each in listed] == [each.tracking_uid for each in drawn]
    assert [each.tracking_uid for each in listed] == [finding.tracking_uid for finding in left]
    assert listed[0].label == "N1 suspicious, corrected"
    assert listed[1].label == f"N3 {left[1].suspicion}, accepted"
    assert listed[-1].label == (f"{left[-1].finding_id} {left[-1].suspicion}" if len(left) > 2 else listed[1].label)
    assert "Diameter 8.40 mm" in drawn[0].labels
    original = load_structured_report(pydicom.dcmread(source.results.path("structured_report.dcm")))
    for each, before in zip(drawn, (original[0], *original[2:]), strict=True):
        assert each.points == pytest.approx(before.points, abs=1e-3)
        assert each.sop_instance_uid == before.sop_instance_uid
    images = {header.SOPInstanceUID for header in study.volume.headers}
    labels = load_segmentation(pydicom.dcmread(seg), study.volume.headers[0].SeriesInstanceUID, images)
    assert labels == [f"Nodule {finding.finding_id}" for finding in left]


def test_the_same_reviews_give_the_same_bytes_and_another_one_another_document(corrected, tmp_path):
    _, source, sr, _ = corrected
    again, other = tmp_path / "again.dcm", tmp_path / "other.dcm"
    write_report_object(source, REVIEWS, again, SETTINGS)
    assert again.read_bytes() == sr.read_bytes()
    write_report_object(source, [*REVIEWS[:2], review("N3", "rejected", 9)], other, SETTINGS)
    before, after = pydicom.dcmread(sr), pydicom.dcmread(other)
    assert before.SOPInstanceUID != after.SOPInstanceUID
    assert before.SeriesInstanceUID == after.SeriesInstanceUID


@pytest.mark.real_data
def test_dcentvfy_finds_the_objects_at_home_in_their_study(shared_data, tmp_path):
    scan = "LIDC-IDRI-0003"
    source = write_job(scan_study(shared_data, scan), tmp_path)
    own = [tmp_path / "sr.dcm", tmp_path / "seg.dcm"]
    write_report_object(source, REVIEWS, own[0], SETTINGS)
    write_segmentation_object(source, REVIEWS, own[1], SETTINGS)
    beside = [*sorted((shared_data / "lidc-scans" / scan).glob("*.dcm")), *source.results.folder.glob("*.dcm")]
    assert inconsistencies_of(own, beside) == []


def test_where_nothing_is_rejected_the_segmentation_holds(tmp_path):
    source = write_job(drawn_study(num_nodules=2), tmp_path)
    reviews = [review("N1", "accepted")]
    with pytest.raises(NothingToCorrect, match="nothing-rejected"):
        write_segmentation_object(source, reviews, tmp_path / "seg.dcm", SETTINGS)
    write_report_object(source, reviews, tmp_path / "sr.dcm", SETTINGS)
    named = source.report().segmentation.sop_instance_uid
    groups = srread(tmp_path / "sr.dcm").content.get_volumetric_roi_measurement_groups()
    assert [_segment_of(group) for group in groups] == [(named, 1), (named, 2)]


def test_where_all_is_rejected_the_document_says_that_there_is_no_nodule(tmp_path):
    source = write_job(drawn_study(num_nodules=2), tmp_path)
    reviews = [review("N1", "rejected"), review("N2", "rejected")]
    write_report_object(source, reviews, tmp_path / "sr.dcm", SETTINGS)
    assert errors_of(tmp_path / "sr.dcm") == []
    texts = _study_texts(pydicom.dcmread(tmp_path / "sr.dcm"))
    assert texts[1].startswith("No nodule found.")
    assert texts[2:4] == ["Rejected by a reader: N1.", "Rejected by a reader: N2."]
    with pytest.raises(NothingToCorrect, match="no-finding-left"):
        write_segmentation_object(source, reviews, tmp_path / "seg.dcm", SETTINGS)


def test_without_a_review_or_an_sr_there_is_nothing_to_correct(tmp_path):
    source = write_job(drawn_study(), tmp_path)
    with pytest.raises(NothingReviewed):
        write_report_object(source, [], tmp_path / "sr.dcm", SETTINGS)
    bare = write_job(drawn_study(), tmp_path, settings=Settings(outputs=("report_json", "dicom_seg")))
    with pytest.raises(NothingToCorrect, match="no-structured-report"):
        write_report_object(bare, [review("N1", "accepted")], tmp_path / "sr.dcm", SETTINGS)


def test_a_site_may_have_its_readers_words_count_as_verified(tmp_path):
    source = write_job(drawn_study(), tmp_path)
    write_report_object(source, REVIEWS[:2], tmp_path / "sr.dcm", SETTINGS, organization="St Elsewhere")
    assert errors_of(tmp_path / "sr.dcm") == []
    document = pydicom.dcmread(tmp_path / "sr.dcm")
    assert (document.VerificationFlag, document.PreliminaryFlag) == ("VERIFIED", "FINAL")
    (observer,) = document.VerifyingObserverSequence
    assert (observer.VerifyingObserverName, observer.VerifyingOrganization) == ("Bo Chen^", "St Elsewhere")
    assert observer.VerificationDateTime == "20261123113000"


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["name-chinese", "name-japanese", "name-latin1"])
def test_names_survive_byte_for_byte_where_readers_write_ascii(case, shared_data, tmp_path):
    study, original = study_with_name_of(shared_data / "dicom-robustness" / case)
    source = write_job(study, tmp_path)
    write_report_object(source, REVIEWS[:2], tmp_path / "sr.dcm", SETTINGS)
    write_segmentation_object(source, REVIEWS[:2], tmp_path / "seg.dcm", SETTINGS)
    for path in (tmp_path / "sr.dcm", tmp_path / "seg.dcm"):
        assert errors_of(path) == []
        for keyword in ("SpecificCharacterSet", "PatientName"):
            assert pydicom.dcmread(path).get_item(keyword).value == original[keyword]


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["name-chinese", "name-japanese", "name-latin1"])
def test_a_comment_in_any_script_is_kept_with_the_name(case, shared_data, tmp_path):
    study, _ = study_with_name_of(shared_data / "dicom-robustness" / case)
    source = write_job(study, tmp_path)
    said = [review("N1", "accepted", comment="右上叶磨玻璃结节 – Ünsicher", reviewed_by="李安")]
    write_report_object(source, said, tmp_path / "sr.dcm", SETTINGS)
    assert errors_of(tmp_path / "sr.dcm") == []
    document = pydicom.dcmread(tmp_path / "sr.dcm")
    assert document.PatientName == study.volume.headers[0].PatientName
    (group,) = _reader_groups(tmp_path / "sr.dcm", source.report(), "N1")
    texts = {_code(item): item for item in group.ContentSequence}
    assert texts["121106"].TextValue == said[0].comment
    assert texts["121008"].PersonName == "李安^"


@pytest.mark.real_data
def test_axes_on_a_multiframe_ct_keep_their_frame(shared_data, tmp_path):
    settings, folder = Settings(), shared_data / "dicom-robustness" / "enhanced-ct"
    volume = build_volume(select_series(read_instances(folder, settings), settings), settings)
    label_map = np.zeros(volume.array.shape, dtype=np.uint16)
    label_map[3:6, 5:9, 5:8], label_map[7:9, 5:9, 5:8] = 1, 2
    source = write_job(study_of(volume, label_map), tmp_path)
    said = [review("N1", "accepted"), review("N2", "rejected")]
    write_report_object(source, said, tmp_path / "sr.dcm", SETTINGS)
    write_segmentation_object(source, said, tmp_path / "seg.dcm", SETTINGS)
    assert errors_of(tmp_path / "sr.dcm") == errors_of(tmp_path / "seg.dcm") == []
    original = load_structured_report(pydicom.dcmread(source.results.path("structured_report.dcm")))
    (drawn,) = load_structured_report(pydicom.dcmread(tmp_path / "sr.dcm"))
    before = next(each for each in original if each.tracking_uid == drawn.tracking_uid)
    assert (drawn.sop_instance_uid, drawn.frame_number) == (before.sop_instance_uid, before.frame_number)
    assert drawn.points == pytest.approx(before.points, abs=1e-3)


def _reader_groups(path, report, finding_id):
    finding = next(each for each in report.findings if each.finding_id == finding_id)
    (container,) = (item for item in pydicom.dcmread(path).ContentSequence if _code(item) == "126010")
    groups = [group for group in container.ContentSequence if finding.tracking_uid in str(group)]
    return [group for group in groups if "VERDICT" in {_code(item) for item in group.ContentSequence}]


def _segment_of(group):
    (item,) = (each for each in group[0].ContentSequence if _code(each) == "121191")
    reference = item.ReferencedSOPSequence[0]
    return reference.ReferencedSOPInstanceUID, reference.ReferencedSegmentNumber


def _study_texts(document):
    (container,) = (item for item in document.ContentSequence if _code(item) == "C0034375")
    return [item.TextValue for item in container.ContentSequence if item.ValueType == "TEXT"]


def _code(item):
    return item.ConceptNameCodeSequence[0].CodeValue
