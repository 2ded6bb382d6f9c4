from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_checkers import errors_of, inconsistencies_of, read_measurements
from highdicom.sr import MeasurementReport, srread
from hypothesis import given
from hypothesis import strategies as st
from report_examples import AXIAL, PATIENT_NAME, PROVENANCE, drawn_study, scan_study, study_of, study_with_name_of

from lung_nodules.settings import DicomSrSettings, Settings
from lung_nodules.stages.identifiers import digest_settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.report import EarlierDocument
from lung_nodules.stages.series import select_series
from lung_nodules.stages.volume import build_volume
from lung_nodules.writers.dicom_codes import OWN_SCHEME
from lung_nodules.writers.dicom_seg import write_dicom_seg
from lung_nodules.writers.dicom_sr import SERIES_DESCRIPTION, write_dicom_sr
from lung_nodules.writers.dicom_sr_content import axes_path

SCANS = ["LIDC-IDRI-0001", "LIDC-IDRI-0003"]
REAL_SCANS = [pytest.param(scan, marks=pytest.mark.real_data) for scan in SCANS]
GEOMETRIES = {
    "axial": AXIAL,
    "oblique": ((0.0, -0.6, 0.8), (0.0, 0.8, 0.6), (1.0, 0.0, 0.0)),
    "feet-first-prone": ((0, 0, -1), (0, -1, 0), (1, 0, 0)),
}
FROM_REPORT = {  # code of a measurement -> where the report has it, and its unit
    "103339001": ("size.long_axis_mm", "mm"),
    "103340004": ("size.short_axis_mm", "mm"),
    "81827009": ("size.mean_diameter_mm", "mm"),
    "118565006": ("size.volume_mm3", "mm3"),
    "EQ_SPHERE_DIAM": ("size.equivalent_sphere_diameter_mm", "mm"),
    "112031": ("mean_hu", "[hnsf'U]"),
    "SUSPICION_SCORE": ("suspicion_score", "1"),
    "NODULE_PROB": ("nodule_probability", "1"),
    "OVERALL_SUSP": ("overall_suspicion", "1"),
}


@pytest.fixture(scope="module", params=["drawn", "nothing-found", *REAL_SCANS])
def written(request, tmp_path_factory):
    """A study, its report and the path of its SR."""
    if request.param in SCANS:
        study = scan_study(request.getfixturevalue("shared_data"), request.param)
    else:
        study = drawn_study() if request.param == "drawn" else drawn_study().without_findings()
    report = study.report()
    (path,) = write_dicom_sr(report, study.volume, tmp_path_factory.mktemp("sr"))
    return study, report, path


def test_dciodvfy_finds_no_error(written):
    assert errors_of(written[2]) == []


def test_the_object_is_the_one_that_the_report_names(written):
    study, report, path = written
    named, document = report.structured_report, pydicom.dcmread(path)
    assert path.name == named.file_name == "structured_report.dcm"
    assert document.SOPClassUID == named.sop_class_uid == pydicom.uid.Comprehensive3DSRStorage
    assert document.SOPInstanceUID == named.sop_instance_uid
    assert document.SeriesInstanceUID == named.series_instance_uid
    assert document.StudyInstanceUID == study.volume.headers[0].StudyInstanceUID
    assert document.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (document.SeriesDescription, document.SeriesNumber) == (SERIES_DESCRIPTION, 9102)
    assert len(SERIES_DESCRIPTION) <= 64
    assert (document.CompletionFlag, document.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_highdicom_reads_the_reported_numbers(written):
    _, report, path = written
    content = srread(path).content
    assert isinstance(content, MeasurementReport)
    for finding in report.findings:
        (plane,) = content.get_planar_roi_measurement_groups(tracking_uid=finding.tracking_uid)
        (volume,) = content.get_volumetric_roi_measurement_groups(tracking_uid=finding.tracking_uid)
        (axes,) = content.get_image_measurement_groups(tracking_uid=finding.tracking_uid)
        measured = {item.name.value: item for group in (axes, plane, volume) for item in group.get_measurements()}
        assert set(measured) == set(FROM_REPORT)
        for code, (place, unit) in FROM_REPORT.items():
            assert measured[code].value == pytest.approx(_at(finding, place), abs=1e-9)
            assert measured[code].unit.value == unit
        assert plane.tracking_identifier == volume.tracking_identifier == finding.tracking_id
        assert axes.tracking_identifier == f"Cornerstone3DTools@^0.1.0:Bidirectional:{finding.tracking_id}"
        assert plane.finding_type.value == volume.finding_type.value == "27925004"
        site = volume.finding_sites[0]
        assert site.value.value == "39607008"
        assert (site.laterality.meaning.lower() if site.laterality else None) == finding.position.side


def test_dcmqi_reads_the_same(written, tmp_path):
    _, report, path = written
    groups = read_measurements(path, tmp_path)["Measurements"]
    assert len(groups) == max(1, 3 * len(report.findings))
    for finding in report.findings:
        own = [group for group in groups if group["TrackingUniqueIdentifier"] == finding.tracking_uid]
        items = {item["quantity"]["CodeValue"]: item for group in own for item in group["measurementItems"]}
        for code, (place, unit) in FROM_REPORT.items():
            assert float(items[code]["value"]) == pytest.approx(_at(finding, place), abs=1e-9)
            assert items[code]["units"]["CodeValue"] == unit
        (segment,) = (group for group in own if "ReferencedSegment" in group)
        assert segment["ReferencedSegment"] == finding.segment.segment_number
        assert segment["segmentationSOPInstanceUID"] == report.segmentation.sop_instance_uid
        assert segment["SourceSeriesForImageSegmentation"] == report.study.series_instance_uid


def test_a_finding_and_its_segment_are_tracked_under_one_uid(written, tmp_path):
    study, report, path = written
    tracked = {group.tracking_uid for group in _groups(path, "volumetric")}
    seg = write_dicom_seg(report, study.volume, study.outlines, tmp_path)
    in_seg = {segment.TrackingUID for each in seg for segment in highdicom.seg.segread(each).SegmentSequence}
    assert tracked == in_seg == {finding.tracking_uid for finding in report.findings}


@pytest.mark.parametrize("direction", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_axes_are_drawn_where_they_were_measured(direction, tmp_path):
    study = drawn_study(direction=direction)
    report = study.report()
    (path,) = write_dicom_sr(report, study.volume, tmp_path)
    _assert_axes_lie_right(path, report, study.volume)


def test_the_axes_of_real_nodules_lie_on_their_slice(written):
    study, report, path = written
    _assert_axes_lie_right(path, report, study.volume)


def test_it_is_the_one_root_of_the_result_and_lists_all_evidence(written, tmp_path):
    study, report, path = written
    document = srread(path)
    evidence = {uids[2]: uids[3] for uids in document.get_evidence(current_procedure_only=True)}
    images = {header.SOPInstanceUID: header.SOPClassUID for header in study.volume.headers}
    named = report.segmentation
    assert evidence == images | ({named.sop_instance_uid: named.sop_class_uid} if named else {})
    assert _referenced(document) == set(evidence)
    (observer,) = document.content.get_observer_contexts()
    device = observer.observer_identifying_attributes
    assert observer.observer_type.meaning == "Device"
    assert (device.name, device.manufacturer_name) == ("lung-nodules", "lung-nodules")
    assert pydicom.uid.UID(device.uid).is_valid
    (algorithm,) = {_text(group, "111001") for group in _all_groups(document)}
    assert algorithm == "lung-nodules"
    (version,) = {_text(group, "111003") for group in _all_groups(document)}
    for model in report.models:
        assert f"{model.name} {model.version}" in version
    assert _code(document) == "126000"


def test_every_image_that_was_read_is_in_the_library(written):
    study, _, path = written
    (library,) = (item for item in pydicom.dcmread(path).ContentSequence if _code(item) == "111028")
    (group,) = library.ContentSequence
    listed = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in group.ContentSequence[:]
        if item.ValueType == "IMAGE"
    ]
    assert listed == [header.SOPInstanceUID for header in study.volume.headers]


def test_nothing_found_is_said_with_what_was_looked_for(tmp_path):
    study = drawn_study().without_findings()
    (path,) = write_dicom_sr(study.report(), study.volume, tmp_path)
    (group,) = srread(path).content.get_image_measurement_groups()
    (evaluation,) = group.get_qualitative_evaluations(name=pydicom.sr.coding.Code("27925004", "SCT", "Nodule"))
    assert evaluation.value.meaning == "Absent"
    texts = _study_texts(path)
    assert texts[0].startswith("Looked for: pulmonary nodules in 12 slices 2.5 mm apart, right lung 2.50 L, left")
    assert "operating point rule-out" in texts[0]
    assert texts[1].startswith("No nodule found.")


def test_the_study_says_how_suspicious_its_first_finding_is(tmp_path):
    study = drawn_study()
    (path,) = write_dicom_sr(study.report(), study.volume, tmp_path)
    (container,) = (item for item in pydicom.dcmread(path).ContentSequence if _code(item) == "C0034375")
    said = {
        _code(item): item.ConceptCodeSequence[0].CodeMeaning
        for item in container.ContentSequence
        if item.ValueType == "CODE"
    }
    assert said == {"27925004": "Present", "SUSPICION": "Suspicious"}
    assert "2 nodules found." in _study_texts(path)[1]


def test_suspicion_is_never_called_a_probability_of_cancer(written):
    _, report, path = written
    text = str(pydicom.dcmread(path)).lower()
    assert "cancer" not in text
    assert report.disclaimer.lower() in " ".join(_study_texts(path)).lower()
    assert "research only, not for clinical use" in text


def test_evaluations_are_the_readers_grades(tmp_path):
    study = drawn_study(num_nodules=1)
    (path,) = write_dicom_sr(study.report(), study.volume, tmp_path)
    (group,) = _groups(path, "volumetric")
    evaluations = {item.name.value: item.value for item in group.get_qualitative_evaluations()}
    assert evaluations["C28749"] == pydicom.sr.coding.Code("002", "99LIDCQIICR", "2 out of 5")
    assert evaluations["C25563"] == pydicom.sr.coding.Code("004", "99LIDCQIICR", "4 out of 5")
    assert evaluations["SUSPICION"].meaning == "Suspicious"
    assert evaluations["DENSITY"].value == "RID50151"


def test_private_codes_are_declared(written):
    document = pydicom.dcmread(written[2])
    declared = {item.CodingSchemeDesignator for item in document.CodingSchemeIdentificationSequence}
    assert OWN_SCHEME in declared
    items = (element for item in document.ContentSequence for element in item.iterall())
    used = {element.value for element in items if element.keyword == "CodingSchemeDesignator"}
    assert {scheme for scheme in used if scheme.startswith("99")} <= declared


def test_a_second_run_writes_the_same_bytes(tmp_path):
    paths = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        study = drawn_study()
        paths += write_dicom_sr(study.report(), study.volume, tmp_path / name)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_other_settings_give_another_object(tmp_path):
    study = drawn_study()
    before = study.report()
    settings = Settings(dicom_sr=DicomSrSettings(series_number=77))
    provenance = replace(PROVENANCE, settings_sha256=digest_settings(settings))
    after = study.report(provenance, settings)
    for name in ("series_instance_uid", "sop_instance_uid"):
        assert getattr(before.structured_report, name) != getattr(after.structured_report, name)
    (path,) = write_dicom_sr(after, study.volume, tmp_path, settings.dicom_sr)
    assert pydicom.dcmread(path).SeriesNumber == 77


@pytest.mark.parametrize("sop_class", ["comprehensive-3d", "comprehensive"])
def test_it_names_the_document_that_it_supersedes(sop_class, tmp_path):
    study, settings = drawn_study(), Settings(dicom_sr=DicomSrSettings(sop_class=sop_class))
    earlier = EarlierDocument(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.8",
        sop_class_uid=pydicom.uid.Comprehensive3DSRStorage,
        sop_instance_uid="1.2.3.8.1",
        predecessor=None,
    )
    report = study.report(settings=settings, earlier=earlier)
    (path,) = write_dicom_sr(report, study.volume, tmp_path, settings.dicom_sr)
    document = pydicom.dcmread(path)
    assert document.SOPInstanceUID == report.structured_report.sop_instance_uid
    (of_study,) = document.PredecessorDocumentsSequence
    (of_series,) = of_study.ReferencedSeriesSequence
    (instance,) = of_series.ReferencedSOPSequence
    assert (of_study.StudyInstanceUID, of_series.SeriesInstanceUID) == ("1.2.3", "1.2.3.8")
    assert instance.ReferencedSOPClassUID == pydicom.uid.Comprehensive3DSRStorage
    assert instance.ReferencedSOPInstanceUID == "1.2.3.8.1"
    assert errors_of(path) == []


def test_without_a_predecessor_none_is_named(written):
    assert "PredecessorDocumentsSequence" not in pydicom.dcmread(written[2])


def test_older_archives_get_comprehensive_sr(tmp_path):
    study = drawn_study()
    settings = Settings(dicom_sr=DicomSrSettings(sop_class="comprehensive"))
    report = study.report(settings=settings)
    (path,) = write_dicom_sr(report, study.volume, tmp_path, settings.dicom_sr)
    assert pydicom.dcmread(path).SOPClassUID == pydicom.uid.ComprehensiveSRStorage
    assert errors_of(path) == []
    assert len(_groups(path, "planar")) == len(_groups(path, "volumetric")) == 2


def test_without_a_seg_the_plane_holds_everything(tmp_path):
    study = drawn_study()
    settings = Settings(outputs=("report_json", "dicom_sr"))
    report = study.report(settings=settings)
    (path,) = write_dicom_sr(report, study.volume, tmp_path)
    assert _groups(path, "volumetric") == []
    for group in _groups(path, "planar"):
        measured = {item.name.value for item in group.get_measurements()}
        assert measured == set(FROM_REPORT) - {"103339001", "103340004"}  # the axes have a group of their own
        assert "SUSPICION" in {item.name.value for item in group.get_qualitative_evaluations()}
    assert errors_of(path) == []


def test_no_sr_where_none_is_asked_for(tmp_path):
    study = drawn_study()
    report = study.report(settings=Settings(outputs=("report_json", "dicom_seg")))
    assert report.structured_report is None
    assert write_dicom_sr(report, study.volume, tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_headers_that_leave_out_what_is_optional_are_enough(tmp_path):
    study = drawn_study()
    for header in study.volume.headers:
        for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyTime", "AccessionNumber"):
            delattr(header, keyword)
        del header.StudyDate, header.ReferringPhysicianName, header.SliceThickness, header.Manufacturer
    (path,) = write_dicom_sr(study.report(), study.volume, tmp_path)
    document = pydicom.dcmread(path)
    assert document.ContentDate == "19000101"
    assert [item.ManufacturerModelName for item in document.ContributingEquipmentSequence] == ["highdicom"]


def test_the_scanner_contributed(tmp_path):
    study = drawn_study()
    for header in study.volume.headers:
        header.ManufacturerModelName, header.DeviceSerialNumber = "CT 9000", "\u5317\u4eac"
    report = study.report()
    paths = [
        *write_dicom_sr(report, study.volume, tmp_path),
        *write_dicom_seg(report, study.volume, study.outlines, tmp_path),
    ]
    for path in paths:
        scanner = pydicom.dcmread(path).ContributingEquipmentSequence[0]
        assert scanner.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
        assert (scanner.Manufacturer, scanner.ManufacturerModelName) == ("ACME", "CT 9000")
        assert "DeviceSerialNumber" not in scanner


@pytest.mark.real_data
@pytest.mark.parametrize("found", [True, False], ids=["nodules", "nothing"])
@pytest.mark.parametrize("case", ["name-chinese", "name-japanese", "name-latin1"])
def test_names_survive_byte_for_byte_in_any_character_set(case, found, shared_data, tmp_path):
    study, original = study_with_name_of(shared_data / "dicom-robustness" / case)
    study = study if found else study.without_findings()
    report = study.report()
    (path,) = write_dicom_sr(report, study.volume, tmp_path)
    for keyword in ("SpecificCharacterSet", "PatientName"):
        assert pydicom.dcmread(path).get_item(keyword).value == original[keyword]
    for each in (path, *write_dicom_seg(report, study.volume, study.outlines, tmp_path)):
        assert errors_of(each) == []


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:Failed to decode:UserWarning")
def test_a_name_in_another_character_set_than_declared_is_no_obstacle(shared_data, tmp_path):
    study, _ = study_with_name_of(shared_data / "dicom-robustness" / "name-wrong-charset")
    (path,) = write_dicom_sr(study.report(), study.volume, tmp_path)
    assert pydicom.dcmread(path).PatientID == "P-7"


def test_our_own_words_are_plain_ascii_and_name_nobody(written):
    _, _, path = written
    document = pydicom.dcmread(path)
    texts = [element.value for element in document.iterall() if element.keyword in {"TextValue", "CodeMeaning"}]
    assert all(text.isascii() for text in texts)
    assert not any(part in " ".join(texts) for part in PATIENT_NAME.split("^"))


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["enhanced-ct", "legacy-enhanced-ct"])
def test_axes_on_a_multiframe_ct_name_their_frame(case, shared_data, tmp_path):
    settings, folder = Settings(), shared_data / "dicom-robustness" / case
    volume = build_volume(select_series(read_instances(folder, settings), settings), settings)
    label_map = np.zeros(volume.array.shape, dtype=np.uint16)
    label_map[3:6, 5:9, 5:8] = 1
    study = study_of(volume, label_map)
    report = study.report()
    (path,) = write_dicom_sr(report, volume, tmp_path)
    assert errors_of(path) == []
    ((image, _, _),) = _drawn(path)
    source = pydicom.dcmread(next(each for each in folder.rglob("*") if _is_object(each, image)))
    place = source.PerFrameFunctionalGroupsSequence[image.ReferencedFrameNumber - 1].PlanePositionSequence[0]
    slice_index = report.findings[0].size.axes_slice.index
    position = volume.geometry.to_world([slice_index, 0, 0])
    assert list(place.ImagePositionPatient) == pytest.approx(list(position), abs=1e-3)
    _assert_axes_lie_right(path, report, volume)
    assert len({uids[2] for uids in srread(path).get_evidence()}) == 2  # the CT and the SEG


@pytest.mark.real_data
@pytest.mark.parametrize("scan", SCANS)
def test_dcentvfy_finds_the_objects_at_home_in_their_study(scan, shared_data, tmp_path):
    study = scan_study(shared_data, scan)
    report = study.report()
    own = [
        *write_dicom_sr(report, study.volume, tmp_path),
        *write_dicom_seg(report, study.volume, study.outlines, tmp_path),
    ]
    assert inconsistencies_of(own, sorted((shared_data / "lidc-scans" / scan).glob("*.dcm"))) == []


POINTS = st.tuples(st.floats(-100, 100), st.floats(-100, 100)).map(np.array)


@given(POINTS, st.floats(1, 50), st.floats(0, 2 * np.pi), st.floats(0, 1), st.floats(0, 40), st.floats(0, 40))
def test_the_path_draws_the_two_axes_and_nothing_else(start, length, angle, share, below, above):
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    crossing = start + share * length * along
    long_axis = np.array([start, start + length * along])
    short_axis = np.array([crossing - below * across, crossing + above * across])
    path = axes_path(long_axis, short_axis)
    drawn = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    assert drawn == pytest.approx(length + 2 * (below + above), abs=1e-6)
    assert path[[0, -1]] == pytest.approx(long_axis, abs=1e-9)
    assert path[[2, 4]] == pytest.approx(short_axis, abs=1e-9)
    assert path[[1, 3, 5]] == pytest.approx(np.tile(crossing, (3, 1)), abs=1e-6)


def _at(finding, place):
    for name in place.split("."):
        finding = getattr(finding, name)
    return finding


def _code(item):
    return item.ConceptNameCodeSequence[0].CodeValue


def _groups(path, kind):
    content = srread(path).content
    return getattr(content, f"get_{kind}_roi_measurement_groups")()


def _all_groups(document):
    (container,) = (item for item in document.ContentSequence if _code(item) == "126010")
    return container.ContentSequence


def _text(group, code):
    return next(item.TextValue for item in group.ContentSequence if _code(item) == code)


def _study_texts(path):
    (container,) = (item for item in pydicom.dcmread(path).ContentSequence if _code(item) == "C0034375")
    return [item.TextValue for item in container.ContentSequence if item.ValueType == "TEXT"]


def _referenced(document):
    """SOP Instance UIDs that the content tree refers to."""
    uids, items = set(), list(document.ContentSequence)
    while items:
        item = items.pop()
        items += item.get("ContentSequence", [])
        uids |= {reference.ReferencedSOPInstanceUID for reference in item.get("ReferencedSOPSequence", [])}
    return uids


def _drawn(path):
    """Of each planar group the image, the tracking UID and the points (column, row)."""
    drawn = []
    for group in _groups(path, "planar"):
        region = group.roi
        image = region.ContentSequence[0].ReferencedSOPSequence[0]
        drawn.append((image, group.tracking_uid, np.array(region.value)))
    return drawn


def _ends_of_axes(path, tracking_uid):
    """What the numbers of the group of the axes are inferred from: the image and the two ends, long axis first."""
    (group,) = srread(path).content.get_image_measurement_groups(tracking_uid=tracking_uid)
    named = [measurement.referenced_coordinates[0] for measurement in group.get_measurements()]
    return [(each.ContentSequence[0].ReferencedSOPSequence[0], np.array(each.value)) for each in named]


def _assert_axes_lie_right(path, report, volume):
    findings = {finding.tracking_uid: finding for finding in report.findings}
    drawn = _drawn(path)
    assert len(drawn) == len(findings)
    for image, tracking_uid, points in drawn:
        size = findings[tracking_uid].size
        assert image.ReferencedSOPInstanceUID == size.axes_slice.sop_instance_uid
        header = volume.headers[size.axes_slice.index]
        along_row, along_column = np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
        rows_mm, columns_mm = (float(part) for part in header.PixelSpacing)
        places = (
            np.array(header.ImagePositionPatient, dtype=float)
            + (points[:, :1] - 0.5) * columns_mm * along_row
            + (points[:, 1:] - 0.5) * rows_mm * along_column
        )
        assert places[[0, -1]] == pytest.approx(np.array(size.long_axis_ends_lps_mm), abs=1e-3)
        assert places[[2, 4]] == pytest.approx(np.array(size.short_axis_ends_lps_mm), abs=1e-3)
        for (each, ends), wanted in zip(_ends_of_axes(path, tracking_uid), ((0, -1), (2, 4)), strict=True):
            assert each == image
            assert ends == pytest.approx(points[list(wanted)])


def _is_object(path, image):
    return path.is_file() and pydicom.dcmread(path).SOPInstanceUID == image.ReferencedSOPInstanceUID
