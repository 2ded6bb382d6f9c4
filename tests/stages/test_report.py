import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID, Comprehensive3DSRStorage
from report_examples import BIRTH_DATE, PATIENT_NAME, PROVENANCE, drawn_study, scan_study

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import ClassificationSettings, Settings
from lung_nodules.stages.identifiers import derive_result_uid, derive_uid, digest_settings
from lung_nodules.stages.instances import PassedOver
from lung_nodules.stages.report import EarlierDocument, ModelIdentity, build_failure_report
from lung_nodules.stages.study import describe_study, viewer_numbers

EARLIER = EarlierDocument(
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.8",
    sop_class_uid=Comprehensive3DSRStorage,
    sop_instance_uid="1.2.3.8.1",
    predecessor=None,
)
TEXT = st.text(max_size=30)
INPUTS = st.tuples(TEXT, st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=3), TEXT, TEXT, TEXT, TEXT, TEXT)


def _judged(*probability_and_score):
    """A report whose findings N1, N2, ... were given these probabilities and suspicion scores."""
    study = drawn_study(num_nodules=len(probability_and_score))
    findings = tuple(
        replace(finding, nodule_probability=probability, suspicion_score=score)
        for finding, (probability, score) in zip(study.findings, probability_and_score, strict=True)
    )
    return replace(study, findings=findings).report()


def test_the_study_is_as_suspicious_as_its_most_suspicious_finding():
    report = _judged((1.0, 0.1), (1.0, 0.9), (1.0, 0.5))
    assert [finding.finding_id for finding in report.findings] == ["N2", "N3", "N1"]
    assert [finding.suspicion for finding in report.findings] == ["suspicious", "indeterminate", "unlikely"]
    assert report.classification_result == "suspicious"
    assert report.classification_finding_id == "N2"
    assert report.classification_confidence == 0.9


def test_a_vessel_that_would_be_suspicious_as_a_nodule_does_not_lead_the_study():
    report = _judged((0.38, 1.0), (0.9, 0.6))
    assert [finding.finding_id for finding in report.findings] == ["N2", "N1"]
    assert [finding.overall_suspicion for finding in report.findings] == [0.54, 0.38]
    assert report.findings[1].suspicion_score == 1.0
    assert (report.classification_result, report.classification_finding_id) == ("indeterminate", "N2")
    assert report.classification_confidence == 0.54


def test_a_study_of_nothing_but_vessels_is_not_suspicious():
    report = _judged((0.36, 0.98))
    assert (report.classification_result, report.classification_confidence) == ("indeterminate", 0.3528)


def test_no_finding_is_said_and_no_segmentation_is_named():
    report = drawn_study().without_findings().report()
    assert report.classification_result == "no nodule found"
    assert report.classification_confidence is None
    assert report.segmentation is None
    assert report.candidates.rejected == 3


def test_a_finding_names_its_segment_and_its_slice_in_every_way():
    study = drawn_study()
    report = study.report()
    second = report.findings[1]
    assert second.segment.sop_instance_uid == report.segmentation.sop_instance_uid
    assert second.segment.segment_number == 2
    assert second.outline_label == 3  # label 2 was rejected
    place = second.position.slice
    header = study.volume.headers[place.index]
    assert (place.sop_instance_uid, place.instance_number) == (header.SOPInstanceUID, header.InstanceNumber)
    assert place.viewer_number == header.InstanceNumber - 100


def test_no_segment_is_named_where_none_is_written():
    report = drawn_study().report(settings=Settings(outputs=("report_json",)))
    assert report.segmentation is None
    assert all(finding.segment is None for finding in report.findings)


def test_the_report_tells_the_patient_by_id_alone():
    text = drawn_study().report().model_dump_json()
    assert '"patient_id":"P-7"' in text
    for private in (*PATIENT_NAME.split("^"), BIRTH_DATE, "1944-02-29", "a.json"):
        assert private not in text


def test_suspicion_is_never_called_a_probability_of_cancer():
    text = drawn_study().report().model_dump_json().lower()
    assert "cancer" not in text
    assert "not for clinical use" in text


def test_numbers_are_rounded_and_zero_has_no_sign():
    study = drawn_study(num_nodules=1)
    nodule = replace(study.findings[0].nodule, mean_hu=-0.00001, volume_mm3=100.123456)
    finding = replace(study, findings=(replace(study.findings[0], nodule=nodule),)).report().findings[0]
    assert finding.size.volume_mm3 == 100.1235
    assert str(finding.mean_hu) == "0.0"
    assert finding.characteristics["spiculation"] == 2.1235


def test_counts_of_candidates_files_and_series():
    report = drawn_study().report()
    assert report.candidates.model_dump() == {
        "reported": 2,
        "rejected": 1,
        "merged": 1,
        "without_outline": 3,
        "outside_lungs": 4,
        "not_examined": 5,
    }
    assert report.files_passed_over == {"not-dicom": 2}
    assert [series.code for series in report.series_considered] == ["chosen", "localizer"]


def test_a_cap_on_the_findings_is_stated():
    study = drawn_study()
    assert study.report().findings_cap is None
    capped = Settings(classification=ClassificationSettings(max_findings=5))
    assert study.report(settings=capped).findings_cap == 5


def test_the_operating_point_is_stated_with_its_false_positives():
    models = {model.kind: model for model in drawn_study().report().models}
    assert (models["detection"].operating_point, models["detection"].false_positives_per_scan) == ("balanced", 1.0)
    assert (models["classification"].operating_point, models["classification"].false_positives_per_scan) == (
        "rule-out",
        None,
    )
    assert models["segmentation"].operating_point is None


def test_times_and_memory_change_nothing_but_the_run():
    study = drawn_study()
    again = study.report(replace(PROVENANCE, seconds_by_stage={"lungs": 99.0}, peak_memory_mib=None, device="other"))
    assert again.model_dump(exclude={"run"}) == study.report().model_dump(exclude={"run"})


@pytest.mark.parametrize(
    "changed",
    [
        {"models": (*PROVENANCE.models[:2], ModelIdentity("x", "classification", "1.0", "f" * 64))},
        {"records_sha256": "f" * 64},  # another threshold beside the same weights
        {"settings_sha256": digest_settings(Settings(outputs=("report_json",)))},
        {"runtime": "torch 2.13 fp32"},
        {"software_version": "0.2.0"},
    ],
)
def test_what_may_change_a_voxel_changes_every_uid(changed):
    study = drawn_study()
    before, after = study.report(), study.report(replace(PROVENANCE, **changed))
    assert before.result_uid != after.result_uid
    assert before.segmentation.sop_instance_uid != after.segmentation.sop_instance_uid
    assert before.segmentation.series_instance_uid != after.segmentation.series_instance_uid
    assert before.structured_report.sop_instance_uid != after.structured_report.sop_instance_uid
    assert before.structured_report.series_instance_uid != after.structured_report.series_instance_uid
    assert before.findings[0].tracking_uid != after.findings[0].tracking_uid


def test_a_corrected_patient_changes_every_uid():
    """Else an archive would keep the objects with the old name, as it has their UIDs."""
    before, study = drawn_study().report(), drawn_study()
    for header in study.volume.headers:
        header.PatientID = "P-8"
    after = study.report()
    assert before.result_uid != after.result_uid
    assert before.segmentation.sop_instance_uid != after.segmentation.sop_instance_uid
    assert before.structured_report.sop_instance_uid != after.structured_report.sop_instance_uid


def test_a_predecessor_makes_another_document_of_the_same_result():
    study = drawn_study()
    alone, named = study.report(), study.report(earlier=EARLIER)
    other = study.report(earlier=EARLIER.model_copy(update={"sop_instance_uid": "1.2.3.8.9"}))
    assert alone.structured_report.predecessor is None
    assert named.structured_report.predecessor.model_dump() == EARLIER.model_dump(exclude={"predecessor"})
    assert len({each.structured_report.sop_instance_uid for each in (alone, named, other)}) == 3
    assert named == study.report(earlier=EARLIER)
    document = {"structured_report"}
    assert named.model_dump(exclude=document) == alone.model_dump(exclude=document)


@pytest.mark.parametrize("first", [None, EARLIER], ids=["first", "later"])
def test_a_result_that_is_read_again_is_the_same_document_and_does_not_supersede_itself(first):
    """As where the images that came late are of another series."""
    study = drawn_study()
    stored = study.report(earlier=first)
    names = stored.structured_report.model_dump(exclude={"file_name"})
    assert study.report(earlier=EarlierDocument(study_instance_uid="1.2.3", **names)) == stored


def test_all_uids_of_a_result_differ():
    report = drawn_study(num_nodules=4).report()
    uids = [report.result_uid, report.segmentation.series_instance_uid, report.segmentation.sop_instance_uid]
    uids += [report.structured_report.series_instance_uid, report.structured_report.sop_instance_uid]
    uids += [finding.tracking_uid for finding in report.findings]
    assert len(set(uids)) == len(uids)


@given(INPUTS, st.randoms())
def test_uids_do_not_depend_on_the_order_of_files_or_models(inputs, random):
    series, instances, models, *rest = inputs
    shuffled_instances, shuffled_models = random.sample(instances, len(instances)), random.sample(models, len(models))
    uid = derive_result_uid(series, instances, models, *rest)
    assert derive_result_uid(series, shuffled_instances, shuffled_models, *rest) == uid


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_derived_uids_are_valid_and_tell_their_parts_apart(first, second):
    uid = derive_uid(*first)
    assert UID(uid).is_valid
    assert (uid == derive_uid(*second)) == (first == second)


@given(st.lists(st.integers(-5, 2000), min_size=1, max_size=30, unique=True))
def test_viewer_numbers_are_the_rank_by_instance_number(numbers):
    headers = [_header(InstanceNumber=number) for number in numbers]
    by_number = sorted(zip(numbers, viewer_numbers(headers), strict=True))
    assert [viewer for _, viewer in by_number] == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("numbers", [[3, 3, 4], [None, 1, 2]])
def test_viewer_numbers_follow_the_slices_where_instance_numbers_do_not_tell(numbers):
    assert viewer_numbers([_header(InstanceNumber=number) for number in numbers]) == (1, 2, 3)


@pytest.mark.parametrize(
    ("elements", "years"),
    [
        ({"PatientAge": "061Y"}, 61),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "", "PatientBirthDate": "19440302", "StudyDate": "20050301"}, 60),
        ({"PatientBirthDate": "19440301", "StudyDate": "2005.03.01"}, 61),
        ({"PatientBirthDate": "20060101", "StudyDate": "20050301"}, None),
        ({"StudyDate": "20050301"}, None),
    ],
)
def test_age_is_read_or_reckoned(elements, years):
    assert describe_study(_header(**elements), "1", "2").patient_age_years == years


def test_missing_and_malformed_elements_are_null():
    header = _header(StudyDate="20051399", PatientID="  ")
    study = describe_study(header, "1", "2")
    assert (study.study_date, study.patient_id, study.patient_sex) == (None, None, None)


def test_a_refusal_becomes_a_report_of_the_same_version():
    refusal = InputRefusal("no-ct", "There is no CT in the input.", "Send a chest CT.")
    considered = drawn_study().selection.considered[1:]
    passed_over = [PassedOver(Path("Doe.txt"), "not-dicom", "No.")]
    failure = build_failure_report(refusal, "series", "0.1.0", considered, passed_over)
    assert (failure.status, failure.code, failure.sentence) == ("refused", "no-ct", "There is no CT in the input.")
    assert failure.report_version == drawn_study().report().report_version
    assert failure.files_passed_over == {"not-dicom": 1}
    assert "Doe" not in failure.model_dump_json()


@pytest.mark.real_data
def test_real_scan(shared_data):
    report = scan_study(shared_data, "LIDC-IDRI-0003").report()
    reference = json.loads((shared_data / "lidc-scans" / "reference.json").read_text())["scans"]["LIDC-IDRI-0003"]
    assert report.study.patient_id == "LIDC-IDRI-0003"
    assert report.study.study_date == date(2000, 1, 1)
    assert report.protocol.convolution_kernel == "STANDARD"
    assert report.protocol.spacing_mm == (2.5, 0.820312, 0.820312)
    for finding, nodule in zip(report.findings, reference["nodules"], strict=True):
        assert finding.position.center_lps_mm == pytest.approx(nodule["centroid_lps_mm"], abs=0.01)
        assert finding.position.slice.viewer_number == finding.position.slice.instance_number


def _header(**elements):
    header = pydicom.Dataset()
    for keyword, value in elements.items():
        with pydicom.config.disable_value_validation():
            setattr(header, keyword, value)
    return header
