"""From marks to nodules: what readers outlined side by side, and the shared consensus masks voxel for voxel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from lidc_files import outline, ring

from lung_nodules.cohorts.lidc_xml import read_lidc_xml
from lung_nodules.cohorts.marks import Annotation, Reading
from lung_nodules.cohorts.nodules import ReadNodule, gather_nodules, without_repetitions
from lung_nodules.cohorts.scans import read_reference_labels, read_reference_scans
from lung_nodules.settings import Settings
from lung_nodules.stages.diameters import measure_diameters
from lung_nodules.stages.geometry import Geometry
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.stack import arrange_slices

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
GEOMETRY = Geometry((0.0, 0.0, 0.0), (2.0, 1.0, 1.0), AXES, (20, 64, 64))
SHARED = [("lidc-scans", "LIDC-IDRI-0001"), ("lidc-scans", "LIDC-IDRI-0003"), ("train-scans", "LIDC-IDRI-0002")]


def mark(reader: int, first: tuple[int, int], last: tuple[int, int], slices: range, rating: int = 3) -> Annotation:
    drawn = tuple(outline(ring(first, last), 2.0 * index) for index in slices)
    return Annotation(drawn, {"malignancy": rating}, reader)


class TestDrawn:
    def test_readers_lie_side_by_side_and_half_of_them_decide(self) -> None:
        marks = (
            mark(0, (10, 20), (13, 20), range(4, 6)),
            mark(1, (11, 20), (14, 20), range(4, 6)),
            mark(3, (12, 20), (15, 20), range(5, 7)),
        )
        (nodule,) = gather_nodules(Reading("1.2", marks), GEOMETRY)
        assert (nodule.origin_ijk, nodule.masks.shape) == ((4, 20, 10), (3, 1, 6))
        assert nodule.masks[:, 0].tolist() == [[1, 3, 3, 3, 2, 0], [1, 3, 7, 7, 6, 4], [0, 0, 4, 4, 4, 4]]
        assert nodule.consensus[:, 0].tolist() == [[0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]]
        assert (nodule.num_readers, nodule.num_masks) == (3, 3)

    def test_with_two_readers_the_consensus_is_the_union(self) -> None:
        marks = (mark(0, (10, 20), (10, 20), range(4, 5)), mark(1, (11, 20), (11, 20), range(4, 5)))
        (nodule,) = gather_nodules(Reading("1.2", marks), GEOMETRY)
        assert nodule.consensus.all()

    def test_a_reader_whose_outline_encloses_nothing_has_rated_and_has_no_mask(self) -> None:
        thin = Annotation((outline([(10, 20), (11, 20)], 8.0),), {"malignancy": 2}, 1)
        (nodule,) = gather_nodules(Reading("1.2", (mark(0, (10, 20), (12, 22), range(4, 5)), thin)), GEOMETRY)
        assert (nodule.num_readers, nodule.num_masks) == (2, 1)
        assert nodule.consensus.sum() == 9
        assert gather_nodules(Reading("1.2", (thin,)), GEOMETRY) == ()

    def test_a_mark_outside_the_scan_is_no_nodule(self) -> None:
        assert gather_nodules(Reading("1.2", (mark(0, (10, 20), (12, 22), range(30, 32)),)), GEOMETRY) == ()

    def test_the_same_outlines_twice_of_one_reader_count_once(self) -> None:
        one = mark(0, (10, 20), (12, 22), range(4, 6))
        other, unknown = mark_like(one, reader=1), mark_like(one, reader=None)
        assert [kept.reader for kept in without_repetitions((one, one, other))] == [0, 1]
        assert len(without_repetitions((unknown, unknown))) == 2  # two readers may agree

    def test_mirroring_twice_changes_nothing_and_once_moves_to_the_other_end(self) -> None:
        (nodule,) = gather_nodules(Reading("1.2", (mark(0, (10, 20), (13, 21), range(4, 6)),)), GEOMETRY)
        turned = nodule.mirrored([1, 2], GEOMETRY.shape)
        assert turned.origin_ijk == (4, 64 - 22, 64 - 14)
        assert same(turned.mirrored([1, 2], GEOMETRY.shape), nodule)


def mark_like(one: Annotation, reader: int | None) -> Annotation:
    return Annotation(one.outlines, one.ratings, reader)


def same(one: ReadNodule, other: ReadNodule) -> bool:
    return one.origin_ijk == other.origin_ijk and np.array_equal(one.masks, other.masks)


@pytest.mark.real_data
@pytest.mark.parametrize(("folder", "patient"), SHARED)
def test_the_consensus_is_the_shared_one_voxel_for_voxel(shared_data: Path, folder: str, patient: str) -> None:
    scan = next(one for one in read_reference_scans(shared_data / folder) if one.patient_id == patient)
    entry = json.loads((shared_data / folder / "reference.json").read_text(encoding="utf-8"))["scans"][patient]
    geometry = arrange_slices(read_instances(scan.folder, Settings()).found, Settings()).geometry
    nodules = gather_nodules(read_lidc_xml(scan.folder / "annotations.xml"), geometry)
    # labels are in order of the number of readers, then of volume
    ordered = sorted(nodules, key=lambda one: (-one.num_readers, -int(one.consensus.sum())))
    label_map = read_reference_labels(scan, geometry)
    assert np.array_equal(laid_out(ordered, geometry.shape), label_map)
    for nodule, written in zip(ordered, entry["nodules"], strict=True):
        assert (nodule.num_readers, int(nodule.consensus.sum())) == (written["readers"], written["voxels"])
        diameters = measure_diameters(nodule.consensus, geometry.spacing_mm)
        assert diameters.long_axis_mm == pytest.approx(written["longest_axial_diameter_mm"], abs=0.01)
        for bit, reader in enumerate(written["reader_ratings"]):
            assert nodule.ratings[bit] == reader["ratings"]
            mask = nodule.masks >> bit & 1 > 0
            assert mask.sum() * geometry.voxel_volume_mm3 == pytest.approx(reader["volume_mm3"], abs=0.01)


def laid_out(nodules: list[ReadNodule], shape: tuple[int, int, int]) -> npt.NDArray[np.uint16]:
    label_map = np.zeros(shape, dtype=np.uint16)
    for label, nodule in enumerate(nodules, start=1):
        box = tuple(slice(a, a + n) for a, n in zip(nodule.origin_ijk, nodule.masks.shape, strict=True))
        label_map[box][nodule.consensus] = label
    return label_map
