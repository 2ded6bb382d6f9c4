"""Reviews as training labels: what one reader can give, in the table that the cohorts read."""

import csv
import stat

import numpy as np
import pytest
from report_examples import PATIENT_NAME, drawn_study, scan_study
from reviewed_studies import JOB, review, write_job

from lung_nodules.cohorts.crops import read_crops
from lung_nodules.cohorts.cutting import COLUMNS
from lung_nodules.service.reviews.labels import KEY_FILE, list_labels, pseudonym, write_crops
from lung_nodules.service.reviews.model import Characteristics, NothingReviewed, NothingToCorrect

RATED = Characteristics(subtlety=4, internal_structure=1, calcification=6, texture=5)
REVIEWS = [
    review("N1", "corrected", suspicion=4, characteristics=RATED, diameter_mm=8.4),
    review("N2", "rejected"),
    review("N3", "accepted"),
]
SCAN = pytest.param("LIDC-IDRI-0003", marks=pytest.mark.real_data)


@pytest.fixture(params=["drawn", SCAN])
def job(request, tmp_path):
    drawn = request.param == "drawn"
    study = drawn_study(num_nodules=4) if drawn else scan_study(request.getfixturevalue("shared_data"), request.param)
    return study, write_job(study, tmp_path)


def test_the_cohorts_read_what_was_reviewed(job, tmp_path):
    study, source = job
    write_crops(source, REVIEWS, tmp_path / "cohort", tmp_path)
    first, second = read_crops(tmp_path / "cohort")
    assert (first.num_readers, second.num_readers) == (1, 0)  # who has rated
    assert first.num_masks == second.num_masks == 1
    assert first.ratings["malignancy"] == 4
    assert first.ratings_by_reader["malignancy"] == (4.0,)
    assert (first.ratings["internalStructure"], first.ratings["calcification"]) == (1, 6)
    assert np.isnan(first.ratings["margin"])
    assert np.isnan(second.ratings["malignancy"])
    report = source.report()
    for crop, finding in zip((first, second), (report.findings[0], report.findings[2]), strict=True):
        voxels = study.outlines.label_map == finding.outline_label
        assert crop.consensus.sum() == voxels.sum()
        assert crop.spacing_mm == pytest.approx(study.volume.geometry.spacing_mm, abs=1e-5)
        place = crop.center_ijk + crop.origin_ijk
        assert place == pytest.approx(np.argwhere(voxels).mean(axis=0))
        box = tuple(slice(int(a), int(a) + size) for a, size in zip(crop.origin_ijk, crop.image.shape, strict=True))
        np.testing.assert_allclose(crop.image, study.volume.array[box], atol=4)


def test_the_columns_are_those_of_the_cohorts(job, tmp_path):
    _, source = job
    write_crops(source, REVIEWS, tmp_path / "cohort", tmp_path)
    with (tmp_path / "cohort" / "nodules.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert tuple(rows[0]) == COLUMNS
    labels = list_labels(source, JOB, REVIEWS, tmp_path)
    assert [{**row, "file": "nodules-00.npz"} for row in _without(labels.nodules, "finding_id")] == rows
    assert rows[0]["diameter_outline_mm"] == "8.4"
    assert rows[0]["malignancy_0"] == "4"
    assert {rows[0][f"malignancy_{reader}"] for reader in (1, 2, 3)} == {""}


@pytest.mark.real_data
def test_the_columns_are_those_of_the_shared_table(shared_data):
    with (shared_data / "lidc-nodules" / "nodules.csv").open(newline="") as lines:
        assert tuple(next(csv.reader(lines))) == COLUMNS


def test_what_was_rejected_or_not_looked_at_is_no_nodule_and_nothing(tmp_path):
    source = write_job(drawn_study(num_nodules=4), tmp_path)
    labels = list_labels(source, JOB, REVIEWS, tmp_path)
    report = source.report()
    assert [row["finding_id"] for row in labels.nodules] == ["N1", "N3"]
    (rejected,) = labels.not_nodules
    assert rejected.finding_id == "N2"
    assert rejected.center_lps_mm == report.findings[1].position.center_lps_mm
    assert labels.not_reviewed == ("N4",) if len(report.findings) > 3 else ()


def test_nobody_is_named(tmp_path):
    source = write_job(drawn_study(), tmp_path)
    labels = list_labels(source, JOB, REVIEWS[:2], tmp_path).model_dump_json()
    for secret in (*PATIENT_NAME.split("^"), '"P-7"', "P-7_", "19440229", "A-1", "Ann Lee"):  # a pseudonym may begin so
        assert secret not in labels


def test_a_patient_has_one_pseudonym_and_nobody_else_the_key(tmp_path):
    (tmp_path / "other").mkdir()
    report = write_job(drawn_study(), tmp_path).report()
    assert pseudonym(report, tmp_path) == pseudonym(report, tmp_path)
    assert pseudonym(report, tmp_path) != pseudonym(report, tmp_path / "other")
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob(".labels*")] == []


def test_without_a_review_or_a_nodule_there_is_nothing_to_label(tmp_path):
    source = write_job(drawn_study(), tmp_path)
    with pytest.raises(NothingReviewed):
        list_labels(source, JOB, [], tmp_path)
    only_rejected = [review("N1", "rejected")]
    assert list_labels(source, JOB, only_rejected, tmp_path).nodules == ()
    with pytest.raises(NothingToCorrect, match="no-nodule"):
        write_crops(source, only_rejected, tmp_path / "cohort", tmp_path)


def _without(rows, name):
    return [{key: value for key, value in row.items() if key != name} for row in rows]
