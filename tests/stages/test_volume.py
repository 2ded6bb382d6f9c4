"""The volume: HU and place in the patient, proved; and what the SDK's operator makes of the same files."""

from __future__ import annotations

import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from ct_files import (
    BEAD_HU,
    BEAD_LPS,
    CTSeries,
    bead_center_lps,
    expected_hu,
    read_volume,
    save,
    select,
    set_pixels,
)
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.instances import Instance
from lung_nodules.stages.pixels import read_hu
from lung_nodules.stages.volume import Geometry, Volume, build_volume

X, Y = np.eye(3)[0], np.eye(3)[1]
IN_PLANE = [(a * u, b * v) for u, v in ((X, Y), (Y, X)) for a in (1, -1) for b in (1, -1)]


class TestPlace:
    @pytest.mark.parametrize("axes", IN_PLANE, ids=lambda axes: "".join(f"{int(v):+d}" for a in axes for v in a[:2]))
    def test_eight_orientations_give_the_same_millimetre(self, axes: Any, tmp_path: Path) -> None:
        series = CTSeries(rows=tuple(axes[0]), columns=tuple(axes[1]), spacing_mm=(3.0, 4.0, 5.0))
        series.write(tmp_path, lambda header, _: setattr(header, "PatientPosition", "FFDR"))
        volume = read_volume(tmp_path)
        np.testing.assert_allclose(bead_center_lps(volume), BEAD_LPS, atol=0.15)
        assert volume.geometry.spacing_mm == pytest.approx((3.0, 4.0, 5.0))
        assert np.linalg.det(volume.geometry.direction) == pytest.approx(-1), (
            "slice, row, column of a right-handed frame"
        )

    def test_an_oblique_stack_keeps_its_rotation_and_says_so(self, tmp_path: Path) -> None:
        angle = np.deg2rad(8)
        CTSeries(columns=(0, float(np.cos(angle)), float(np.sin(angle))), spacing_mm=(3, 4, 4)).write(tmp_path)
        volume = read_volume(tmp_path)
        np.testing.assert_allclose(bead_center_lps(volume), BEAD_LPS, atol=0.15)
        assert [note.code for note in volume.notes] == ["oblique"]

    def test_slice_order_and_uids_follow_the_positions_not_the_instance_numbers(self, tmp_path: Path) -> None:
        series = CTSeries()
        series.write(tmp_path, lambda header, index: setattr(header, "InstanceNumber", 500 - index))
        volume = read_volume(tmp_path)
        heights = [header.ImagePositionPatient[2] for header in volume.headers]
        assert heights == sorted(heights)
        assert volume.geometry.sop_instance_uids == tuple(header.SOPInstanceUID for header in volume.headers)
        assert all("PixelData" not in header for header in volume.headers)

    @given(
        st.tuples(*[st.floats(-500, 500)] * 3),
        st.tuples(*[st.floats(0.2, 8)] * 3),
        st.lists(st.floats(-400, 400), min_size=3, max_size=3),
    )
    def test_index_to_world_and_back(self, origin: Any, spacing: Any, index: list[float]) -> None:
        geometry = Geometry(origin, spacing, ((0, 0, 1), (0, 1, 0), (1, 0, 0)), (9, 9, 9))
        np.testing.assert_allclose(geometry.to_index(geometry.to_world(index)), index, atol=1e-6)


class TestHounsfieldUnits:
    def test_every_slice_gets_its_own_slope_and_intercept(self, tmp_path: Path) -> None:
        series = CTSeries()

        def change(header: pydicom.Dataset, index: int) -> None:
            header.RescaleSlope, header.RescaleIntercept = round(1 + index * 0.013, 3), -1024 - 3 * index
            stored = (expected_hu(series, index) - header.RescaleIntercept) / float(header.RescaleSlope)
            header.PixelData = np.rint(stored).astype(np.uint16).tobytes()

        series.write(tmp_path, change)
        volume = read_volume(tmp_path)
        for index in range(series.num_slices):
            np.testing.assert_allclose(volume.array[index], expected_hu(series, index), atol=1.2)

    @pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless], ids=lambda syntax: syntax.name)
    @pytest.mark.parametrize("signed", [True, False])
    def test_compressed_slices_are_those_that_were_compressed(self, syntax: UID, signed: bool, tmp_path: Path) -> None:
        series = CTSeries(intercept=0.0 if signed else -1024.0)
        for index in range(series.num_slices):
            header = series.dataset(index)
            if signed:
                set_pixels(header, expected_hu(series, index))
            save(header, tmp_path / f"{index}.dcm")
            compressed = pydicom.dcmread(tmp_path / f"{index}.dcm")
            compressed.compress(syntax, generate_instance_uid=False)
            compressed.save_as(tmp_path / f"{index}.dcm")
        volume = read_volume(tmp_path)
        assert {str(header.file_meta.TransferSyntaxUID) for header in volume.headers} == {syntax}
        assert volume.notes == ()
        for index in range(series.num_slices):
            np.testing.assert_array_equal(volume.array[index], np.rint(expected_hu(series, index)))

    def test_padding_and_values_below_air_become_air(self, tmp_path: Path) -> None:
        series = CTSeries()

        def change(header: pydicom.Dataset, index: int) -> None:
            hu = expected_hu(series, index)
            hu[0, :5], hu[1, :5], hu[2, :5] = -2000, -2990, 5000
            set_pixels(header, hu)
            header.add_new("PixelPaddingValue", "US", 65536 - 2000)  # often given unsigned for signed pixels
            header.add_new("PixelPaddingRangeLimit", "SS", -1990)

        series.write(tmp_path, change)
        array = read_volume(tmp_path).array
        assert (array[:, :2, :5] == -1024).all()
        assert (array[:, 2, :5] == 5000).all()

    def test_high_padding_is_air_too_and_padding_inside_tissue_is_not_believed(self, tmp_path: Path) -> None:
        series = CTSeries()

        def change(header: pydicom.Dataset, index: int, padding: int) -> None:
            hu = expected_hu(series, index)
            hu[0, :5] = padding
            set_pixels(header, hu)
            header.add_new("PixelPaddingValue", "SS", padding)

        for padding, expected in ((4095, -1024), (40, 40)):
            folder = tmp_path / str(padding)
            series.write(folder, lambda header, index, value=padding: change(header, index, value))
            array = read_volume(folder).array
            assert (array[:, 0, :5] == expected).all()
            assert array[14, 22, 22] == 40, "soft tissue stays"

    @pytest.mark.parametrize(
        ("stored", "high_bit", "signed"), [(12, 11, True), (12, 11, False), (12, 15, True), (13, 12, True)]
    )
    def test_values_come_out_of_their_bits_whatever_lies_in_the_others(
        self, stored: int, high_bit: int, signed: bool, tmp_path: Path
    ) -> None:
        series = CTSeries()
        shift = high_bit + 1 - stored
        mask = ((1 << stored) - 1) << shift

        def change(header: pydicom.Dataset, index: int) -> None:
            header.BitsStored, header.HighBit, header.PixelRepresentation = stored, high_bit, int(signed)
            header.RescaleIntercept = 0 if signed else -1024
            values = np.rint(expected_hu(series, index) - header.RescaleIntercept).astype(np.int64) << shift
            garbage = np.random.default_rng(index).integers(0, 1 << 16, values.shape)
            header.PixelData = ((values & mask) | (garbage & ~mask & 0xFFFF)).astype(np.uint16).tobytes()

        series.write(tmp_path, change)
        volume = read_volume(tmp_path)
        np.testing.assert_allclose(volume.array[10], expected_hu(series, 10), atol=0.51)

    def test_monochrome1_is_not_inverted(self, tmp_path: Path) -> None:
        series = CTSeries()
        series.write(tmp_path, lambda header, _: setattr(header, "PhotometricInterpretation", "MONOCHROME1"))
        np.testing.assert_allclose(read_volume(tmp_path).array[10], expected_hu(series, 10), atol=0.51)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("keyword", "value", "code"),
        [
            ("ImagePositionPatient", None, "missing-geometry"),
            ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "missing-geometry"),
            ("PixelSpacing", [0, 0], "missing-geometry"),
            ("RescaleSlope", None, "missing-rescale"),
            ("RescaleSlope", 0, "invalid-rescale"),
            ("RescaleType", "US", "not-hu"),
            ("BitsStored", 17, "unsupported-pixel-format"),
            ("SOPInstanceUID", "1.2.3", "duplicate-uid"),
            ("SeriesInstanceUID", "../../etc", "invalid-uid"),
            ("Rows", None, "damaged-file"),
        ],
    )
    def test_headers_that_prove_nothing(self, keyword: str, value: Any, code: str, tmp_path: Path) -> None:
        def change(header: pydicom.Dataset, _: int) -> None:
            if value is None:
                del header[keyword]
            else:
                with pydicom.config.disable_value_validation():
                    setattr(header, keyword, value)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom, on writing them
            CTSeries().write(tmp_path, change)
        with pytest.raises(InputRefusal) as refusal:
            read_volume(tmp_path)
        assert refusal.value.code == code or (keyword == "Rows" and refusal.value.code == "missing-geometry")

    def test_two_frames_of_reference(self, tmp_path: Path) -> None:
        def change(header: pydicom.Dataset, index: int) -> None:
            header.FrameOfReferenceUID = "1.2.3" if index > 20 else "1.2.4"

        CTSeries().write(tmp_path, change)
        with pytest.raises(InputRefusal, match="differ in Frame of Reference UID"):
            read_volume(tmp_path)

    def test_pixels_that_are_cut_off(self, tmp_path: Path) -> None:
        path = CTSeries().write(tmp_path)[1]
        os.truncate(path, path.stat().st_size - 100)
        selection = select(tmp_path)
        with pytest.raises(InputRefusal, match="cut off") as refusal:
            build_volume(selection, Settings())
        assert refusal.value.code == "damaged-file"

    def test_damaged_slices_are_counted_and_numbered_and_no_one_is_named(self, tmp_path: Path) -> None:
        series = CTSeries()
        paths = series.write(tmp_path, lambda header, index: setattr(header, "InstanceNumber", 500 + index))
        selection = select(tmp_path)
        for path in (paths[3], paths[17]):
            os.truncate(path, path.stat().st_size - 100)
        with pytest.raises(InputRefusal) as refusal:
            build_volume(selection, Settings())
        said = refusal.value.sentence
        assert "Instance Number 503" in said or "Instance Number 517" in said
        assert f"2 of {series.num_slices} files" in said
        assert refusal.value.advice == "Send the series again, or another series of the study."
        assert "Doe" not in said
        assert "P1" not in said

    @pytest.mark.parametrize(
        ("indices", "shift_mm", "code", "words", "advice"),
        [
            (range(1), 0.0, "too-few-slices", "The series has 1 slice; it takes 10", "complete series"),
            (range(9), 0.0, "too-few-slices", "The series has 9 slices; it takes 10", "complete series"),
            (range(28), 2.0, "non-uniform-spacing", "in 28 slices", "equal slice distances"),
        ],
    )
    def test_what_the_user_can_do_is_said(
        self, indices: range, shift_mm: float, code: str, words: str, advice: str, tmp_path: Path
    ) -> None:
        def change(header: pydicom.Dataset, index: int) -> None:
            if index % 3 == 1:
                header.ImagePositionPatient[2] += shift_mm

        CTSeries().write(tmp_path, change, indices)
        with pytest.raises(InputRefusal) as refusal:
            select(tmp_path)
        assert refusal.value.code == code
        assert words in refusal.value.sentence
        assert advice in refusal.value.advice

    def test_a_volume_over_the_memory_limit(self, tmp_path: Path) -> None:
        CTSeries().write(tmp_path)
        selection = select(tmp_path)
        tight = Settings.model_validate({"volume": {"max_volume_gib": 1e-6}})
        with pytest.raises(InputRefusal, match="more memory") as refusal:
            build_volume(selection, tight)
        assert refusal.value.code == "too-large"


class TestWhatIsOddYetUsable:
    def test_an_equal_image_under_another_uid_is_used_once_and_noted(self, tmp_path: Path) -> None:
        series = CTSeries()
        series.write(tmp_path)
        again = series.dataset(10)
        again.SOPInstanceUID += ".1"
        save(again, tmp_path / "again")
        volume = read_volume(tmp_path)
        assert volume.array.shape[0] == series.num_slices
        assert [note.code for note in volume.notes] == ["duplicate-slices"]

    def test_lossy_compression_in_the_past_is_noted(self, tmp_path: Path) -> None:
        CTSeries().write(tmp_path, lambda header, _: setattr(header, "LossyImageCompression", "01"))
        assert [note.code for note in read_volume(tmp_path).notes] == ["lossy-compression"]

    def test_an_unreadable_file_beside_a_complete_series_is_noted(self, tmp_path: Path) -> None:
        CTSeries().write(tmp_path)
        (tmp_path / "empty.dcm").touch()
        assert [note.code for note in read_volume(tmp_path).notes] == ["damaged-file"]

    def test_no_name_is_warned_of_or_logged(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        def change(header: pydicom.Dataset, _: int) -> None:
            header.SpecificCharacterSet = "ISO_IR 192"
            header.add_new("PatientName", "PN", "Döe^Jäne".encode("latin-1"))
            header.PatientAge = "Doe^Jane"  # no age, and too long for one

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom, on writing them
            CTSeries().write(tmp_path, change)
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            volume = read_volume(tmp_path)
            for element in volume.headers[0]:
                str(element.value)
        assert caplog.records == []


@pytest.mark.real_data
class TestRealScans:
    @pytest.mark.parametrize("patient", ["LIDC-IDRI-0001", "LIDC-IDRI-0003"])
    def test_geometry_and_hu_are_those_of_the_reference_and_of_simpleitk(self, patient: str, shared_data: Path) -> None:
        folder = shared_data / "lidc-scans"
        reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))["scans"][patient]
        volume = read_volume(folder / patient)
        assert volume.geometry.shape == (reference["slices"], reference["rows"], reference["columns"])
        assert volume.geometry.spacing_mm[::-1] == pytest.approx(reference["spacing_mm"])
        assert volume.geometry.origin_lps == pytest.approx(reference["origin_lps_mm"])
        for nodule in reference["nodules"]:
            place = volume.geometry.to_world(nodule["centroid_ijk"][::-1])
            np.testing.assert_allclose(place, nodule["centroid_lps_mm"], atol=0.02)
        for index in (0, 60, volume.geometry.shape[0] - 1):
            np.testing.assert_array_equal(
                volume.array[index], np.maximum(_simpleitk_hu(volume, index, folder / patient), -1024)
            )


def _simpleitk_hu(volume: Volume, index: int, folder: Path) -> Any:
    """The same slice, decoded by SimpleITK where it can (JPEG-LS it can by GDCM), found by its SOP Instance UID."""
    for path in sorted(folder.glob("*.dcm")):
        if (
            pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID
            == volume.headers[index].SOPInstanceUID
        ):
            return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0]
    raise AssertionError("the slice is not among the files")


def test_the_bead_is_as_bright_as_it_was_drawn(tmp_path: Path) -> None:
    CTSeries(spacing_mm=(2.0, 3.0, 3.0)).write(tmp_path)
    volume = read_volume(tmp_path)
    index = tuple(np.rint(volume.geometry.to_index(BEAD_LPS)).astype(int))
    assert volume.array[index] == pytest.approx(BEAD_HU, abs=1)


def test_one_frame_of_one_file_can_be_read_alone(tmp_path: Path) -> None:
    series = CTSeries()
    path = series.write(tmp_path, indices=[10])[0]
    (plane,) = read_hu([Instance(path, pydicom.dcmread(path, stop_before_pixels=True))], Settings())
    np.testing.assert_allclose(plane, expected_hu(series, 10), atol=0.51)
