"""Which series is read, why not the others, and that neither depends on the order of the files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from ct_files import CTSeries, save, select, set_pixels
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lung_nodules.settings import Settings
from lung_nodules.stages.instances import Instances, read_instances
from lung_nodules.stages.series import NoUsableSeries, Selection, select_series
from lung_nodules.stages.series_parts import classify_kernel


def change(header: pydicom.Dataset, _: int, **values: Any) -> None:
    for keyword, value in values.items():
        setattr(header, keyword, value)


def write(folder: Path, series: CTSeries, indices: Sequence[int] | None = None, **values: Any) -> str:
    series.write(folder, partial(change, **values), indices)
    return series.series_uid


def reasons(selection: Selection | NoUsableSeries) -> dict[str, str]:
    return {series.series_instance_uid: series.code for series in selection.considered}


@pytest.fixture
def study() -> dict[str, str]:
    """What the series of one study share."""
    series = CTSeries()
    return {"study_uid": series.study_uid, "frame_uid": series.frame_uid}


def test_the_axial_chest_is_chosen_among_its_companions(tmp_path: Path, study: dict[str, str]) -> None:
    chosen = write(tmp_path / "z", CTSeries(**study), SeriesDescription="junk")
    others = {
        write(tmp_path / "a", CTSeries(**study), range(2), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]): "localizer",
        write(tmp_path / "b", CTSeries(**study), Modality="PT", SeriesDescription="chest 1 mm best"): "not-ct",
        write(tmp_path / "c", CTSeries(**study, rows=(0, 1, 0), columns=(0, 0, -1))): "not-axial",
        write(tmp_path / "d", CTSeries(**study), range(5)): "too-few-slices",
        write(tmp_path / "e", CTSeries(**study), ImageType=["DERIVED", "SECONDARY", "AXIAL"]): "derived",
        write(tmp_path / "f", CTSeries(**study), range(8, 20)): "less-coverage",
        write(tmp_path / "g", CTSeries(**study), ConvolutionKernel="LUNG"): "other-kernel",
        write(tmp_path / "h", CTSeries(**study, spacing_mm=(7, 6, 6))): "thicker-slices",
        write(tmp_path / "i", CTSeries(**study), [i for i in range(28) if i != 9]): "missing-slices",
    }
    selection = select(tmp_path)
    assert selection.series_instance_uid == chosen
    assert reasons(selection) == {chosen: "chosen", **others}
    assert selection.considered[0].chosen
    assert selection.considered[0].series_description == "junk"
    assert not any(series.chosen for series in selection.considered[1:])
    assert all(series.sentence.endswith(".") for series in selection.considered)


@pytest.mark.parametrize(
    ("better", "worse", "code"),
    [
        ({"SliceThickness": 1.0}, {"SliceThickness": 2.5}, "thicker-slices"),
        ({"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}, "other-kernel"),
        ({"ConvolutionKernel": ["Br58d", "3"]}, {"ConvolutionKernel": "B10f"}, "other-kernel"),
        ({}, {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, "derived"),
    ],
)
def test_preferences(better: Any, worse: Any, code: str, tmp_path: Path, study: dict[str, str]) -> None:
    spacing = {"spacing_mm": (1.0, 6.0, 6.0), "extent_mm": (60.0, 264.0, 264.0)}
    chosen = write(tmp_path, CTSeries(**study, **spacing), **better)
    other = write(tmp_path, CTSeries(**study, **spacing), **worse)
    assert reasons(select(tmp_path)) == {chosen: "chosen", other: code}


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        *[(name, 0) for name in ("STANDARD", "SOFT", "CHEST", "B30f", "I41f", "Br40", "B", "C", "FC08", "")],
        *[(name, 1) for name in ("LUNG", "BONEPLUS", "EDGE", "B60f", "I50f", "Bl57", "B70s", "L", "YC", "FC51")],
        *[(name, 2) for name in ("B10f", "B20f", "Br20")],
    ],
)
def test_kernels_by_their_vendors_names(kernel: str, expected: int) -> None:
    assert classify_kernel(kernel) == expected


def test_a_localizer_and_a_second_acquisition_inside_the_series_are_told_apart(tmp_path: Path) -> None:
    series = CTSeries()
    series.write(tmp_path / "a")

    def second(header: pydicom.Dataset, index: int) -> None:
        header.AcquisitionNumber, header.SOPInstanceUID = 2, f"{header.SOPInstanceUID}.2"
        set_pixels(header, np.full((44, 44), 77.0) if index == 14 else np.full((44, 44), -850.0))

    series.write(tmp_path / "b", second)
    localizer = series.dataset(0)
    localizer.SOPInstanceUID += ".3"
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(localizer, tmp_path / "localizer")
    selection = select(tmp_path)
    assert {instance.header.AcquisitionNumber for instance in selection.instances} == {1}
    assert len(selection.instances) == series.num_slices
    assert [each.code for each in selection.considered] == ["chosen", "multiple-acquisitions", "localizer"]


def test_a_second_stack_at_other_heights_inside_the_series_is_told_apart(tmp_path: Path) -> None:
    series = CTSeries()
    series.write(tmp_path / "a")

    def shifted(header: pydicom.Dataset, _: int) -> None:
        header.AcquisitionNumber, header.SOPInstanceUID = 2, f"{header.SOPInstanceUID}.2"
        header.ImagePositionPatient[2] += 1.7

    series.write(tmp_path / "b", shifted, indices=range(4, 24))
    selection = select(tmp_path)
    assert {instance.header.AcquisitionNumber for instance in selection.instances} == {1}
    assert [each.code for each in selection.considered] == ["chosen", "multiple-acquisitions"]


def test_an_acquisition_number_for_each_slice_is_one_volume(tmp_path: Path) -> None:
    CTSeries().write(tmp_path, lambda header, index: setattr(header, "AcquisitionNumber", index))
    assert len(select(tmp_path).considered) == 1


def test_the_latest_study_of_a_patient_is_read(tmp_path: Path) -> None:
    earlier = write(tmp_path, CTSeries(), StudyDate="20230101", SliceThickness=1)
    latest = write(tmp_path, CTSeries(), StudyDate="20240101", SliceThickness=3)
    assert reasons(select(tmp_path)) == {latest: "chosen", earlier: "earlier-study"}


def test_the_next_best_is_read_where_the_best_shows_no_lungs(tmp_path: Path, study: dict[str, str]) -> None:
    def abdomen(header: pydicom.Dataset, _: int) -> None:
        header.SliceThickness = 1
        plane = np.full((44, 44), -1000.0)
        plane[8:36, 4:40] = 40
        plane[20:23, 20:23] = -990  # gas
        set_pixels(header, plane)

    without = CTSeries(**study)
    without.write(tmp_path, abdomen)
    with_lungs = write(tmp_path, CTSeries(**study), ConvolutionKernel="LUNG")
    assert reasons(select(tmp_path)) == {with_lungs: "chosen", without.series_uid: "no-lungs"}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"Modality": "MR"}, "not-ct"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "not-ct"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"RescaleIntercept": 0}, "not-hu"),
    ],
)
def test_nothing_usable_is_refused_with_the_most_telling_reason(values: Any, code: str, tmp_path: Path) -> None:
    uid = write(tmp_path, CTSeries(), **values)
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(NoUsableSeries) as refusal:
        select(tmp_path)
    assert refusal.value.code == code
    assert reasons(refusal.value) == {uid: code}
    assert refusal.value.exit_code == 3


def test_a_gap_is_explained_by_the_file_that_could_not_be_read(tmp_path: Path) -> None:
    path = CTSeries().write(tmp_path)[9]
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(NoUsableSeries, match=r"1 slice\(s\) are missing.*1 file\(s\) could not be read") as refusal:
        select(tmp_path)
    assert refusal.value.code == "damaged-file"


@pytest.mark.parametrize("code", ["not-dicom", "damaged-file", "no-images"])
def test_an_input_without_images(code: str, tmp_path: Path) -> None:
    if code == "not-dicom":
        (tmp_path / "a.dcm").write_text("x" * 500)
    if code == "damaged-file":
        (tmp_path / "a.dcm").touch()
    with pytest.raises(NoUsableSeries) as refusal:
        select(tmp_path)
    assert (refusal.value.code, refusal.value.considered) == (code, ())


class TestPatients:
    def test_two_patients_are_refused_and_not_named(self, tmp_path: Path) -> None:
        uids = [write(tmp_path, CTSeries(), PatientID=name, PatientName=name) for name in ("Roe^Ann", "Poe^Eve")]
        with pytest.raises(NoUsableSeries) as refusal:
            select(tmp_path)
        assert reasons(refusal.value) == dict.fromkeys(uids, "multiple-patients")
        assert not any(name in str(refusal.value) for name in ("Roe", "Poe"))

    def test_one_id_with_two_birth_dates_is_two_patients(self, tmp_path: Path) -> None:
        write(tmp_path, CTSeries(), PatientBirthDate="19500101")
        write(tmp_path, CTSeries(), PatientBirthDate="19600101")
        with pytest.raises(NoUsableSeries, match="more than one patient"):
            select(tmp_path)

    def test_slices_of_two_patients_under_one_series_uid(self, tmp_path: Path) -> None:
        CTSeries().write(tmp_path, lambda header, index: setattr(header, "PatientID", "A" if index % 2 else "B"))
        with pytest.raises(NoUsableSeries, match="more than one patient"):
            select(tmp_path)

    def test_a_birth_date_left_out_and_a_name_spelt_otherwise_are_one_patient(self, tmp_path: Path) -> None:
        study = CTSeries().study_uid
        write(tmp_path, CTSeries(study_uid=study), PatientBirthDate="", PatientName="DOE^JANE^^")
        write(tmp_path, CTSeries(study_uid=study))
        assert len(select(tmp_path).considered) == 2

    def test_images_of_others_that_are_not_ct_do_not_matter(self, tmp_path: Path) -> None:
        write(tmp_path, CTSeries(), PatientID="other", Modality="PT")
        chosen = write(tmp_path, CTSeries())
        assert select(tmp_path).series_instance_uid == chosen


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Instances:
    """Six series of one study, two of them equally good, one with a slice twice, one with two acquisitions."""
    folder = tmp_path_factory.mktemp("many")
    base = CTSeries(spacing_mm=(10, 12, 12))
    study = {"study_uid": base.study_uid, "frame_uid": base.frame_uid, "spacing_mm": (10, 12, 12)}
    for kernel in ("STANDARD", "STANDARD", "LUNG"):
        write(folder, CTSeries(**study), ConvolutionKernel=kernel)
    twice = CTSeries(**study)
    twice.write(folder)
    twice.write(folder / "again", indices=[3])
    two = CTSeries(**study)
    two.write(folder / "first")
    two.write(folder / "second", partial(_second_acquisition))
    write(folder, CTSeries(**study), Modality="PT")
    return read_instances(folder, Settings())


def _second_acquisition(header: pydicom.Dataset, _: int) -> None:
    header.AcquisitionNumber, header.SOPInstanceUID = 2, f"{header.SOPInstanceUID}.2"


@hypothesis_settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_choice_does_not_depend_on_the_order(many: Instances, seed: int) -> None:
    shuffled = list(many.found)
    random.Random(seed).shuffle(shuffled)
    expected = select_series(many, Settings())
    selection = select_series(Instances(tuple(shuffled), many.passed_over), Settings())
    assert selection.considered == expected.considered
    assert {instance.path for instance in selection.instances} == {instance.path for instance in expected.instances}


def test_the_choice_does_not_depend_on_file_names(tmp_path: Path) -> None:
    study = CTSeries().study_uid
    series = [CTSeries(study_uid=study) for _ in range(3)]
    for order in ((0, 1, 2), (2, 1, 0)):
        for place, which in enumerate(order):
            series[which].write(tmp_path / str(order[0]) / f"{place}")
    first, second = select(tmp_path / "0"), select(tmp_path / "2")
    assert first.considered == second.considered
    assert {each.code for each in first.considered} == {"chosen", "multiple-series"}
