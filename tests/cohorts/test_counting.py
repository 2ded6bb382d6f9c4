"""What a cohort holds, and the commands that build, count and split one."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_building import write_scan
from test_luna16 import write_download
from typer.testing import CliRunner

from lung_nodules.cli import app
from lung_nodules.cohorts.counting import SideCount, count_cohort
from lung_nodules.errors import InputRefusal


class TestCommands:
    def run(self, *arguments: str | Path) -> str:
        result = CliRunner().invoke(app, ["cohort", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def test_a_cohort_is_built_and_counted(self, tmp_path: Path) -> None:
        write_scan(tmp_path / "lidc" / "a", "INVENTED-1")
        write_scan(tmp_path / "lidc" / "b", "INVENTED-2")
        out = tmp_path / "out"
        assert "4 nodules of 2 patients (2 scans)" in self.run("build", "lidc", tmp_path / "lidc", out)
        shown = self.run("show", out)
        assert "4 nodules with slices above and below" in shown
        count = count_cohort(out)
        assert count.sides[-1] == SideCount("all", 2, 4, {1: 2, 2: 2})
        assert sum(side.num_patients for side in count.sides[:-1]) == 2

    def test_luna16_is_built_from_what_is_there(self, tmp_path: Path) -> None:
        write_download(tmp_path / "luna")
        said = self.run("build", "luna16", tmp_path / "luna", tmp_path / "out", "--context-mm", "5")
        assert "Subsets that are not there: 0, 1, 2, 4, 5, 6, 8, 9" in said
        assert "becomes a ball" in said
        assert "1 nodules of 1 patients (1 scans)" in said
        assert self.run("folds", tmp_path / "luna").splitlines() == ["patient_id,fold", "1.1,3", "1.2,3", "1.3,7"]
        assert "images of 3 of 4 scans" in self.run("show", tmp_path / "luna")


def test_a_folder_that_holds_no_cohort_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefusal, match="holds neither") as refused:
        count_cohort(tmp_path)
    assert refused.value.code == "no-cohort"


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nodules.csv").write_text("kind,patient_id\nslices,P\n", encoding="utf-8")
    with pytest.raises(InputRefusal, match=r"nodules\.csv lacks columns: nodule_id, file") as refused:
        count_cohort(tmp_path)
    assert refused.value.code == "bad-crops"


def test_nodules_of_unknown_size_and_context_are_counted_all_the_same(tmp_path: Path) -> None:
    columns = "nodule_id,patient_id,kind,file,key,spacing_z_mm,spacing_y_mm,spacing_x_mm,n_readers,n_masks,diameter_mm"
    lines = [columns, "a,P,slices,a.npz,a,1,1,1,2,2,", "b,P,slices,a.npz,b,1,1,1,4,4,6.5"]
    (tmp_path / "nodules.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    count = count_cohort(tmp_path)
    assert count.sides[-1] == SideCount("all", 1, 2, {2: 1, 4: 1})
    assert count.median_diameter_mm == 6.5


@pytest.mark.real_data
class TestShared:
    def test_the_crops_are_those_that_their_readme_counts(self, shared_data: Path) -> None:
        count = count_cohort(shared_data / "lidc-nodules")
        assert count.sides[-1] == SideCount("all", 725, 2143, {1: 603, 2: 379, 3: 397, 4: 764})
        assert sum(side.num_nodules for side in count.sides[:-1]) == 2143
        assert sum(side.num_patients for side in count.sides[:-1]) == 725
        assert count.median_diameter_mm == pytest.approx(7.2, abs=0.05)

    def test_scans_and_luna16_are_counted_too(self, shared_data: Path) -> None:
        assert count_cohort(shared_data / "lidc-scans").sides[-1] == SideCount("all", 2, 5, {1: 1, 4: 4})
        luna16 = count_cohort(shared_data / "luna16").sides[-1]
        assert (luna16.num_patients, luna16.num_nodules) == (887, 1186)
