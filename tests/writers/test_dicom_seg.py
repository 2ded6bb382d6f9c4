import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_checkers import errors_of, read_segments
from report_examples import AXIAL, PATIENT_NAME, drawn_study, scan_study, study_of, study_with_name_of

from lung_nodules.settings import DicomSegSettings, Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.series import select_series
from lung_nodules.stages.volume import build_volume
from lung_nodules.writers.dicom_seg import SERIES_DESCRIPTION, write_dicom_seg

OBLIQUE = ((0.0, -0.6, 0.8), (0.0, 0.8, 0.6), (1.0, 0.0, 0.0))
SCANS = ["LIDC-IDRI-0001", "LIDC-IDRI-0003"]
GEOMETRIES = {
    "axial": AXIAL,
    "oblique": OBLIQUE,
    "feet-first-prone": ((0, 0, -1), (0, -1, 0), (1, 0, 0)),
    "coronal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
}


@pytest.fixture(scope="module", params=["drawn", *(pytest.param(scan, marks=pytest.mark.real_data) for scan in SCANS)])
def written(request, tmp_path_factory):
    """A study and the path of its SEG."""
    if request.param == "drawn":
        study = drawn_study()
    else:
        study = scan_study(request.getfixturevalue("shared_data"), request.param)
    (path,) = write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path_factory.mktemp("seg"))
    return study, path


def test_reads_back_voxel_for_voxel_where_the_ct_is(written):
    study, path = written
    _assert_equal_on_the_ct(highdicom.seg.segread(path), study)


@pytest.mark.parametrize("direction", GEOMETRIES.values(), ids=GEOMETRIES)
def test_reads_back_in_any_orientation(direction, tmp_path):
    study = drawn_study(direction=direction)
    (path,) = write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path)
    _assert_equal_on_the_ct(highdicom.seg.segread(path), study)


def test_another_reader_sees_the_same_voxels_of_each_segment(written):
    study, path = written
    frames = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    numbers = [
        item.SegmentIdentificationSequence[0].ReferencedSegmentNumber if "SegmentIdentificationSequence" in item else 1
        for item in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    ]
    for number, finding in enumerate(study.report().findings, start=1):
        expected = np.count_nonzero(study.outlines.label_map == finding.outline_label)
        assert sum(np.count_nonzero(frame) for frame, n in zip(frames, numbers, strict=True) if n == number) == expected


def test_dcmqi_sees_the_same_voxels_in_the_same_place(written, tmp_path):
    study, path = written
    image, segments = read_segments(path, tmp_path)
    _assert_same_grid(image, study.volume.geometry)
    seen, first = SimpleITK.GetArrayFromImage(image), _first_index(image, study.volume.geometry)
    box = tuple(slice(start, start + length) for start, length in zip(first, seen.shape, strict=True))
    report, labels = study.report(), {segment["TrackingUniqueIdentifier"]: label for label, segment in segments.items()}
    assert set(labels) == {finding.tracking_uid for finding in report.findings}
    for finding in report.findings:
        outline = study.outlines.label_map == finding.outline_label
        assert np.array_equal(seen == labels[finding.tracking_uid], outline[box])
        assert np.count_nonzero(outline) == np.count_nonzero(outline[box])


def test_each_frame_lies_on_the_slice_that_it_names_as_its_source(written):
    study, path = written
    slices = {header.SOPInstanceUID: index for index, header in enumerate(study.volume.headers)}
    segmentation = highdicom.seg.segread(path)
    for item in segmentation.PerFrameFunctionalGroupsSequence:
        (source,) = item.DerivationImageSequence[0].SourceImageSequence
        header = study.volume.headers[slices[source.ReferencedSOPInstanceUID]]
        assert item.PlanePositionSequence[0].ImagePositionPatient == header.ImagePositionPatient


def test_all_slices_are_referenced_and_only_outlined_ones_stored(written):
    study, path = written
    segmentation = pydicom.dcmread(path)
    (series,) = segmentation.ReferencedSeriesSequence
    referenced = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert referenced == {header.SOPInstanceUID for header in study.volume.headers}
    expected = sum(
        np.count_nonzero((study.outlines.label_map == finding.nodule.label).any(axis=(1, 2)))
        for finding in study.findings
    )
    assert segmentation.NumberOfFrames == expected


def test_segments_say_what_they_are(written):
    study, path = written
    report, segmentation = study.report(), highdicom.seg.segread(path)
    colors = set()
    for finding, segment in zip(report.findings, segmentation.SegmentSequence, strict=True):
        assert segment.SegmentNumber == finding.segment.segment_number
        assert segment.SegmentLabel == f"Nodule {finding.finding_id}"
        assert (segment.TrackingID, segment.TrackingUID) == (finding.tracking_id, finding.tracking_uid)
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "27925004"
        region = segment.AnatomicRegionSequence[0]
        assert region.CodeValue == "39607008"
        modifiers = [item.CodeMeaning.lower() for item in region.get("AnatomicRegionModifierSequence", [])]
        assert modifiers == ([finding.position.side] if finding.position.side else [])
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
        assert "segmentation-unet 1.0" in algorithm.AlgorithmVersion
        colors.add(tuple(segment.RecommendedDisplayCIELabValue))
    assert len(colors) == len(report.findings)


def test_the_object_is_the_one_that_the_report_names(written):
    study, path = written
    named, segmentation = study.report().segmentation, pydicom.dcmread(path)
    assert path.name == named.file_name == "segmentation.dcm"
    assert segmentation.SOPClassUID == named.sop_class_uid
    assert segmentation.SOPInstanceUID == named.sop_instance_uid
    assert segmentation.SeriesInstanceUID == named.series_instance_uid
    assert segmentation.StudyInstanceUID == study.volume.headers[0].StudyInstanceUID
    assert segmentation.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
    assert segmentation.SeriesDescription == SERIES_DESCRIPTION
    assert "not for clinical use" in SERIES_DESCRIPTION
    assert len(SERIES_DESCRIPTION) <= 64


def test_dciodvfy_finds_no_error(written):
    _, path = written
    assert errors_of(path) == []


def test_a_second_run_writes_the_same_bytes(tmp_path):
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        study = drawn_study()
        write_dicom_seg(study.report(), study.volume, study.outlines, folder)
    name = "segmentation.dcm"
    assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_no_finding_no_file(tmp_path):
    study = drawn_study().without_findings()
    assert write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_empty_frames_are_kept_when_asked_for(tmp_path):
    study = drawn_study()
    settings = DicomSegSettings(keep_empty_frames=True)
    (path,) = write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path, settings)
    segmentation = highdicom.seg.segread(path)
    assert segmentation.NumberOfFrames == 2 * len(study.volume.headers)
    _assert_equal_on_the_ct(segmentation, study)


def test_headers_that_leave_out_what_is_optional_are_enough(tmp_path):
    study = drawn_study()
    for header in study.volume.headers:
        for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyTime", "AccessionNumber"):
            delattr(header, keyword)
        del header.StudyDate, header.ReferringPhysicianName, header.SliceThickness, header.Manufacturer
    (path,) = write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path)
    assert pydicom.dcmread(path).ContentDate == "19000101"


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["enhanced-ct", "legacy-enhanced-ct"])
def test_frames_of_a_multiframe_ct_lie_where_they_belong(case, shared_data, tmp_path):
    volume = _read_volume(shared_data / "dicom-robustness" / case)
    label_map = np.zeros(volume.array.shape, dtype=np.uint16)
    label_map[3:6, 5:9, 5:8] = 1
    study = study_of(volume, label_map)
    (path,) = write_dicom_seg(study.report(), volume, study.outlines, tmp_path)
    segmentation = highdicom.seg.segread(path)
    _assert_equal_on_the_ct(segmentation, study)
    (instance,) = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    header = volume.headers[0]
    assert instance.ReferencedSOPInstanceUID == header.SOPInstanceUID
    assert instance.ReferencedSOPClassUID == header.SOPClassUID
    assert errors_of(path) == []


def test_the_headers_stay_as_they_are(tmp_path):
    study = drawn_study()
    before = [str(header) for header in study.volume.headers]
    write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path)
    assert [str(header) for header in study.volume.headers] == before


def test_orientations_that_differ_in_the_last_digit_are_one(tmp_path):
    study = drawn_study()
    study.volume.headers[3].ImageOrientationPatient = [1, 0, 0, 0, 1, 0.000001]
    (path,) = write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path)
    _assert_equal_on_the_ct(highdicom.seg.segread(path), study)


@pytest.mark.parametrize("sex", ["F", "X", ""])
def test_identity_is_copied_as_it_is(sex, tmp_path, caplog):
    study = drawn_study()
    for header in study.volume.headers:
        header.PatientSex = sex
    with caplog.at_level("DEBUG"):
        (path,) = write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path)
    segmentation = pydicom.dcmread(path)
    assert (segmentation.PatientName, segmentation.PatientID, segmentation.PatientSex) == (PATIENT_NAME, "P-7", sex)
    assert not any(part in caplog.text for part in (*PATIENT_NAME.split("^"), "P-7"))


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["name-chinese", "name-japanese", "name-latin1"])
def test_names_survive_byte_for_byte_in_any_character_set(case, shared_data, tmp_path):
    study, original = study_with_name_of(shared_data / "dicom-robustness" / case)
    (path,) = write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path)
    for keyword in ("SpecificCharacterSet", "PatientName"):
        assert pydicom.dcmread(path).get_item(keyword).value == original[keyword]


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:Failed to decode:UserWarning")
def test_a_name_in_another_character_set_than_declared_is_no_obstacle(shared_data, tmp_path):
    study, _ = study_with_name_of(shared_data / "dicom-robustness" / "name-wrong-charset")
    (path,) = write_dicom_seg(study.report(), study.volume, study.outlines, tmp_path)
    segmentation = pydicom.dcmread(path)
    assert segmentation.PatientID == "P-7"
    assert str(segmentation.PatientName).startswith("Li^Na=")


def _assert_equal_on_the_ct(segmentation, study):
    """The segments, read on the CT's grid by highdicom, are the findings' outlines."""
    expected = np.zeros(study.outlines.label_map.shape, dtype=np.uint8)
    for number, finding in enumerate(study.report().findings, start=1):
        expected[study.outlines.label_map == finding.outline_label] = number
    assert expected.any()
    volume = segmentation.get_volume(combine_segments=True, allow_missing_positions=True)
    first = np.rint(study.volume.geometry.to_index(volume.position)).astype(int)
    assert study.volume.geometry.to_index(volume.position) == pytest.approx(first, abs=1e-3)
    last = np.rint(study.volume.geometry.to_index(volume.map_indices_to_reference(_last(volume)[None])[0])).astype(int)
    low, high = np.minimum(first, last), np.maximum(first, last)
    box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
    array = volume.array if first[0] <= last[0] else volume.array[::-1]
    assert np.array_equal(array, expected[box])
    expected[box] = 0
    assert not expected.any()  # nothing of the outlines lies outside what was stored


def _first_index(image, geometry):
    """Where the first voxel of an image lies on the CT: slice, row, column."""
    index = geometry.to_index(image.TransformIndexToPhysicalPoint((0, 0, 0)))
    assert index == pytest.approx(np.rint(index), abs=1e-3)
    return np.rint(index).astype(int)


def _assert_same_grid(image, geometry):
    """The image has the CT's spacing and directions."""
    assert image.GetSpacing()[::-1] == pytest.approx(geometry.spacing_mm, abs=1e-4)
    directions = np.array(image.GetDirection()).reshape(3, 3).T[::-1]
    assert directions == pytest.approx(np.array(geometry.direction), abs=1e-5)


def _read_volume(folder):
    settings = Settings()
    return build_volume(select_series(read_instances(folder, settings), settings), settings)


def _last(volume):
    return np.array(volume.spatial_shape) - 1
