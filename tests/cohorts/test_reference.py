"""Whole scans as a cohort: what is written is read back, and the shared table comes out again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ct_files import read_volume
from lidc_files import nodule, non_nodule, region, write_xml
from test_building import FIRST, LAST, write_scan
from test_luna16 import write_download
from typer.testing import CliRunner

from lung_nodules.cli import app
from lung_nodules.cohorts.building import Built, ScanSource
from lung_nodules.cohorts.ct import read_ct
from lung_nodules.cohorts.lidc import find_lidc_scans
from lung_nodules.cohorts.luna16 import luna16_sources, read_luna16
from lung_nodules.cohorts.reference import choose_scans, write_reference_scans
from lung_nodules.cohorts.scans import read_reference_labels, read_reference_scans
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import InputRefusal, OutputRefusal, UsageRefusal
from lung_nodules.progress import SilentProgress


class TestDrawn:
    def test_what_is_written_is_read_back(self, tmp_path: Path) -> None:
        write_scan(tmp_path / "lidc" / "a", "INVENTED-1")
        out = tmp_path / "out"
        assert write_reference_scans(find_lidc_scans(tmp_path / "lidc"), out, SilentProgress()) == Built(1, 1, 2)
        (scan,) = read_reference_scans(out)
        assert (scan.patient_id, scan.folder) == ("INVENTED-1", out / "INVENTED-1")
        volume = read_volume(scan.folder)  # through the link
        labels = read_reference_labels(scan, volume.geometry)
        places = np.argwhere(labels == 1)
        assert places.min(axis=0).tolist() == [FIRST[0] - 1, *FIRST[1:]]  # of two readers the union
        assert places.max(axis=0).tolist() == list(LAST)
        assert [one.num_readers for one in scan.nodules] == [2, 1]
        center_lps = volume.geometry.to_world(places.mean(axis=0))
        np.testing.assert_allclose(scan.nodules[0].center_lps, center_lps, atol=0.001)
        assert scan.nodules[0].malignancy_ratings == (3.0, 4.0)
        assert len(scan.small_nodules_lps) == 1

    def test_point_marks_lie_where_they_were_made(self, tmp_path: Path) -> None:
        series = write_scan(tmp_path / "lidc", "INVENTED-1")
        z_mm = float(series.points(10)[0, 0, 2])
        marks = [nodule("s", [region([(7, 9)], z_mm)]), non_nodule("n", (3, 4), z_mm), non_nodule("far", (3, 4), 999)]
        write_xml(tmp_path / "lidc" / "marks.xml", series.series_uid, [marks])
        write_reference_scans(find_lidc_scans(tmp_path / "lidc"), tmp_path / "out", SilentProgress())
        (scan,) = read_reference_scans(tmp_path / "out")
        assert scan.nodules == ()
        assert scan.mask is None
        np.testing.assert_allclose(scan.small_nodules_lps, [series.points(10)[9, 7]], atol=0.001)
        np.testing.assert_allclose(scan.non_nodules_lps, [series.points(10)[4, 3]], atol=0.001)

    def test_luna16_s_nodules_are_of_three_readers_and_its_excluded_findings_none(self, tmp_path: Path) -> None:
        sources = choose_scans(luna16_sources(read_luna16(write_download(tmp_path / "luna"))))
        assert write_reference_scans(sources, tmp_path / "out", SilentProgress()) == Built(3, 3, 1)
        scans = {scan.patient_id: scan for scan in read_reference_scans(tmp_path / "out")}
        assert scans["1.1"].folder.suffix == ".mhd"
        assert [one.num_readers for one in scans["1.1"].nodules] == [3]
        assert scans["1.2"].non_nodules_lps == ((1.0, 2.0, 3.0),)
        labels = read_reference_labels(scans["1.1"], read_ct(scans["1.1"].folder).geometry)
        assert 0 < (labels == 1).sum() < labels.size / 4

    def test_a_patient_has_one_scan_and_sides_are_kept(self, tmp_path: Path) -> None:
        patients = [f"INVENTED-{number}" for number in range(12)]
        sources = [
            ScanSource(patient, f"1.2.{number}", lambda: pytest.fail("was read"), tmp_path)
            for number, patient in enumerate([*patients, patients[0]])
        ]
        assert sorted(source.patient_id for source in choose_scans(sources)) == sorted(patients)
        trained = choose_scans(sources, [Split.TRAIN])
        assert {source.patient_id for source in trained} == {one for one in patients if split_of(one) is Split.TRAIN}
        assert len(choose_scans(sources, most=2)) == 2
        assert choose_scans([ScanSource("P", "1.2", lambda: pytest.fail("was read"))]) == ()  # no images

    def test_a_folder_that_holds_something_is_not_touched(self, tmp_path: Path) -> None:
        write_xml(tmp_path / "a.xml", "1.2.3", [[]])
        with pytest.raises(OutputRefusal, match="is not empty"):
            write_reference_scans(find_lidc_scans(tmp_path), tmp_path, SilentProgress())


class TestCommands:
    def test_a_fold_of_luna16_is_written(self, tmp_path: Path) -> None:
        write_download(tmp_path / "luna")
        folders = map(str, (tmp_path / "luna", tmp_path / "out"))
        said = CliRunner().invoke(app, ["cohort", "reference", "luna16", *folders, "--fold", "3"])
        assert said.exit_code == 0, said.output
        assert "1 nodules of 2 patients (2 scans)" in said.output

    def test_a_side_that_nobody_is_on_is_refused(self, tmp_path: Path) -> None:
        patient = next(name for name in map("INVENTED-{}".format, range(99)) if split_of(name) is Split.TEST)
        write_scan(tmp_path / "lidc", patient)
        arguments = ["cohort", "reference", "lidc", str(tmp_path / "lidc"), str(tmp_path / "out"), "--side", "train"]
        with pytest.raises(InputRefusal) as refused:
            CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert refused.value.code == "no-patients"
        assert refused.value.sentence == "No patient of the scans (1) is on the side train."
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("out", [(), ("--out", "lists")])
    def test_folds_without_subsets_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: tuple[str, ...]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_download(tmp_path / "luna")
        for subset in ("subset3", "subset7"):
            (tmp_path / "luna" / subset).rename(tmp_path / "luna" / f"of {subset}")
        with pytest.raises(InputRefusal, match="luna holds no scan in a folder subset0 to subset9") as refused:
            CliRunner().invoke(app, ["cohort", "folds", "luna", *out], catch_exceptions=False)
        assert refused.value.code == "no-subsets"
        assert not (tmp_path / "lists").exists()

    def test_an_unknown_side_is_refused(self, tmp_path: Path) -> None:
        write_scan(tmp_path / "lidc", "INVENTED-1")
        arguments = ["cohort", "reference", "lidc", str(tmp_path / "lidc"), str(tmp_path / "out"), "--side", "left"]
        with pytest.raises(UsageRefusal, match="A side is one of train"):
            CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["lidc-scans", "train-scans"])
def test_the_shared_table_comes_out_again(shared_data: Path, tmp_path: Path, folder: str) -> None:
    write_reference_scans(find_lidc_scans(shared_data / folder), tmp_path / "out", SilentProgress())
    made = json.loads((tmp_path / "out" / "reference.json").read_text(encoding="utf-8"))["scans"]
    shared = json.loads((shared_data / folder / "reference.json").read_text(encoding="utf-8"))["scans"]
    assert made.keys() == shared.keys()
    for patient, entry in made.items():
        for key in ("series_instance_uid", "consensus_mask", "folder"):
            assert entry[key] == shared[patient][key]
        for one, other in zip(entry["nodules"], shared[patient]["nodules"], strict=True):
            assert {key: one[key] for key in ("label", "readers", "voxels")} == {
                key: other[key] for key in ("label", "readers", "voxels")
            }
            for key in one.keys() - {"reader_ratings"}:
                np.testing.assert_allclose(one[key], other[key], atol=0.011, err_msg=key)
            assert [reader["ratings"] for reader in one["reader_ratings"]] == [
                reader["ratings"] for reader in other["reader_ratings"]
            ]
        for key in ("nodules_below_3mm", "non_nodules"):
            places = sorted(mark["lps_mm"] for mark in shared[patient][key])
            np.testing.assert_allclose(sorted(mark["lps_mm"] for mark in entry[key]), places, atol=0.01)
