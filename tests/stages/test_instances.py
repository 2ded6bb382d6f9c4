"""What is found under a folder: images known by their content, everything else passed over with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from ct_files import CTSeries, read_volume, save
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage, DeflatedExplicitVRLittleEndian

from lung_nodules.errors import UsageRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.instances import Instances, read_instances
from lung_nodules.stages.series import NoUsableSeries, select_series


def read(folder: Path, **limits: int) -> Instances:
    return read_instances(folder, Settings.model_validate({"instances": limits}))


def codes(instances: Instances) -> dict[str, str]:
    return {file.path.as_posix(): file.code for file in instances.passed_over}


def test_images_are_found_at_any_depth_and_under_any_name(tmp_path: Path) -> None:
    paths = CTSeries().write(tmp_path, indices=range(4))
    deep = tmp_path / "a" / "b.dcm" / "c"
    deep.mkdir(parents=True)
    for path, name in zip(paths, ("IM0001", "-rf.txt", "line\nbreak", "pict.png"), strict=True):
        path.rename(deep / name)
    assert {instance.path.name for instance in read(tmp_path).found} == {"IM0001", "-rf.txt", "line\nbreak", "pict.png"}


def test_headers_hold_everything_but_pixels_and_large_elements(tmp_path: Path) -> None:
    header = CTSeries().dataset(3)
    block = header.private_block(0x0009, "ACME", create=True)
    block.add_new(1, "OB", b"x" * 200_000)
    block.add_new(2, "LO", "small")
    save(header, tmp_path / "x")
    (instance,) = read(tmp_path, max_element_kib=64).found
    assert "PixelData" not in instance.header
    assert instance.header.RescaleIntercept == -1024
    assert instance.header.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    found = instance.header.private_block(0x0009, "ACME")
    assert 2 in found
    assert 1 not in found


def test_what_is_no_image_is_passed_over_with_its_reason(tmp_path: Path) -> None:
    path = CTSeries().write(tmp_path, indices=[1])[0]
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "zeros.dcm").write_bytes(bytes(4096))
    (tmp_path / "DICOMDIR").write_bytes(path.read_bytes())
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    report = CTSeries().dataset(0)
    report.SOPClassUID, report.Modality = BasicTextSRStorage, "SR"
    for keyword in ("PixelData", "Rows", "Columns"):
        del report[keyword]
    save(report, tmp_path / "report")
    cut_off = tmp_path / "cut-off"
    cut_off.write_bytes(path.read_bytes()[:900])
    found = read(tmp_path)
    assert [instance.path for instance in found.found] == [path]
    assert codes(found) == {
        "DICOMDIR": "no-images",
        "cut-off": "damaged-file",
        "empty.dcm": "damaged-file",
        "gone": "symbolic-link",
        "link": "symbolic-link",
        "notes.txt": "not-dicom",
        "pipe": "not-dicom",
        "report": "no-images",
        "zeros.dcm": "not-dicom",
    }


def test_companions_are_passed_over_by_name_and_never_opened(tmp_path: Path) -> None:
    path = CTSeries().write(tmp_path, indices=[1])[0]
    path.rename(tmp_path / "1.2.3.dcm.json")  # an image by its content, which nobody looked at
    found = read(tmp_path)
    assert found.found == ()
    assert codes(found) == {"1.2.3.dcm.json": "non-dicom-ignored"}


def test_links_neither_loop_nor_lead_out_nor_count_twice(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    CTSeries().write(inside, indices=range(3))
    CTSeries().write(outside, indices=range(3))
    (inside / "self").symlink_to(inside)
    (inside / "up").symlink_to(tmp_path)
    (inside / "out").symlink_to(outside)
    assert len(read(inside).found) == 3
    (tmp_path / "entrance").symlink_to(inside)
    assert len(read(tmp_path / "entrance").found) == 3, "the input itself may be a link"


def test_a_single_file_is_an_input_too(tmp_path: Path) -> None:
    path = CTSeries().write(tmp_path, indices=[5])[0]
    assert [instance.path for instance in read(path).found] == [path]


def test_an_input_that_does_not_exist_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageRefusal, match="does not exist"):
        read(tmp_path / "nowhere")


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert read(tmp_path) == Instances((), ())


def test_files_without_preamble_or_meta_header_are_read(tmp_path: Path) -> None:
    (path,) = CTSeries().write(tmp_path, indices=[5])
    whole = path.read_bytes()
    meta_length = 144 + int.from_bytes(whole[140:144], "little")
    (tmp_path / "no-preamble").write_bytes(whole[132:])
    (tmp_path / "bare").write_bytes(whole[meta_length:])
    found = read(tmp_path).found
    assert len(found) == 3
    assert {instance.header.file_meta.TransferSyntaxUID for instance in found} == {"1.2.840.10008.1.2.1"}


class TestBounds:
    def test_an_image_that_declares_too_many_pixels(self, tmp_path: Path) -> None:
        header = CTSeries().dataset(3)
        header.Rows = header.Columns = 65535
        save(header, tmp_path / "bomb")
        assert codes(read(tmp_path)) == {"bomb": "too-large"}

    def test_a_deflated_file_that_inflates_beyond_the_limit(self, tmp_path: Path) -> None:
        header = CTSeries().dataset(3)
        header.private_block(0x0009, "ACME", create=True).add_new(1, "OB", bytes(20 * 1024 * 1024))
        save(header, tmp_path / "plain")
        _deflate(tmp_path / "plain", tmp_path / "bomb")
        (tmp_path / "plain").unlink()
        assert (tmp_path / "bomb").stat().st_size < 100_000
        assert codes(read(tmp_path, max_inflated_mib=4)) == {"bomb": "too-large"}
        assert len(read(tmp_path, max_inflated_mib=32).found) == 1

    def test_a_header_longer_than_the_limit(self, tmp_path: Path) -> None:
        header = CTSeries().dataset(3)
        block = header.private_block(0x0009, "ACME", create=True)
        for element in range(250):
            block.add_new(element, "OB", bytes(8192))
        save(header, tmp_path / "long")
        assert codes(read(tmp_path, max_header_mib=1)) == {"long": "too-large"}
        assert len(read(tmp_path, max_header_mib=4).found) == 1

    @pytest.mark.parametrize("depth", [10, 60, 2000])
    def test_sequences_nested_too_deeply_are_left_out_or_the_file_is(self, depth: int, tmp_path: Path) -> None:
        path = CTSeries().write(tmp_path, indices=[3])[0]
        open_item = bytes.fromhex("0800401153510000ffffffff") + bytes.fromhex("feff00e0ffffffff")
        close_item = bytes.fromhex("feff0de000000000") + bytes.fromhex("feffdde000000000")
        whole = path.read_bytes()
        at = whole.index(bytes.fromhex("10001000504e"))  # Patient's Name follows group 0008
        path.write_bytes(whole[:at] + open_item * depth + close_item * depth + whole[at:])
        found = read(tmp_path, max_nesting_depth=16)
        if depth == 2000:
            assert list(codes(found).values()) == ["too-complex"]
        else:
            assert ("ReferencedImageSequence" in found.found[0].header) == (depth == 10)

    def test_folders_nested_too_deeply(self, tmp_path: Path) -> None:
        CTSeries().write(tmp_path / "1" / "2" / "3", indices=[3])
        assert list(codes(read(tmp_path, max_folder_depth=3)).values()) == ["too-complex"]
        assert len(read(tmp_path, max_folder_depth=4).found) == 1

    def test_too_many_files(self, tmp_path: Path) -> None:
        CTSeries().write(tmp_path, indices=range(5))
        with pytest.raises(UsageRefusal, match="more than 4 files"):
            read(tmp_path, max_num_files=4)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return CTSeries().write(tmp_path_factory.mktemp("sound"), indices=[3])[0]


@hypothesis_settings(max_examples=150, deadline=None)
@example(length=1036, changes={935: 0})  # a representation that does not exist
@given(length=st.integers(0, 1600), changes=st.dictionaries(st.integers(0, 1150), st.integers(0, 255), max_size=12))
def test_damaged_bytes_end_in_a_refusal_never_in_a_crash(sound: Path, length: int, changes: dict[int, int]) -> None:
    damaged = bytearray(sound.read_bytes()[: 10_000 if length > 1200 else length])
    for place, value in changes.items():
        if place < len(damaged):
            damaged[place] = value
    path = sound.with_name("damaged")
    path.write_bytes(damaged)
    found = read(path)
    assert len(found.found) + len(found.passed_over) == 1
    one_is_enough = Settings.model_validate({"series": {"min_num_slices": 2}})
    with pytest.raises(NoUsableSeries):  # one slice is no volume, whatever is left of its header
        select_series(Instances(found.found * 2, found.passed_over), one_is_enough)


class TestEnhancedCT:
    def test_frames_become_slices_in_the_order_of_their_positions(self, tmp_path: Path) -> None:
        series = CTSeries()
        save(_enhanced(series), tmp_path / "enhanced")
        volume = read_volume(tmp_path)
        series.write(tmp_path / "classic")
        classic = read_volume(tmp_path / "classic")
        np.testing.assert_array_equal(volume.array, classic.array)
        np.testing.assert_allclose(volume.geometry.affine, classic.geometry.affine)

    def test_a_file_without_functional_groups_is_damaged(self, tmp_path: Path) -> None:
        header = _enhanced(CTSeries())
        del header.PerFrameFunctionalGroupsSequence
        save(header, tmp_path / "enhanced")
        assert codes(read(tmp_path)) == {"enhanced": "damaged-file"}


def _deflate(plain: Path, deflated: Path) -> None:
    """Write a file again in the deflated transfer syntax."""
    header = pydicom.dcmread(plain)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(deflated, enforce_file_format=True)


def _enhanced(series: CTSeries) -> Dataset:
    """The series as one Enhanced CT, its frames shuffled, each with a rescale of its own."""
    slices = [series.dataset(index) for index in np.random.default_rng(1).permutation(series.num_slices)]
    header = series.dataset(0)
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del header[keyword]
    for keyword in ("RescaleSlope", "RescaleIntercept", "ConvolutionKernel", "AcquisitionNumber"):
        del header[keyword]
    header.NumberOfFrames = len(slices)
    shared, frames = Dataset(), []
    shared.PixelMeasuresSequence = _items(PixelSpacing=slices[0].PixelSpacing, SliceThickness=5)
    shared.PlaneOrientationSequence = _items(ImageOrientationPatient=slices[0].ImageOrientationPatient)
    pixels = []
    for number, each in enumerate(slices):
        frame = Dataset()
        frame.PlanePositionSequence = _items(ImagePositionPatient=each.ImagePositionPatient)
        frame.FrameContentSequence = _items(FrameAcquisitionNumber=1)
        frame.PixelValueTransformationSequence = _items(RescaleSlope=1, RescaleIntercept=-1024 - number)
        frames.append(frame)
        pixels.append((np.frombuffer(each.PixelData, np.uint16) + number).tobytes())
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    header.PerFrameFunctionalGroupsSequence = Sequence(frames)
    header.PixelData = b"".join(pixels)
    return header


def _items(**values: object) -> Sequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])
