"""The forest: it learns, folds keep patients apart, SMOTE stays inside them, and what is stored is what was grown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lung_nodules.errors import ModelRefusal, UsageRefusal
from lung_nodules.networks.forest import FOREST_FILE, load_forest, write_forest
from lung_nodules.training.forest import (
    ForestSettings,
    Rated,
    fill_up,
    forest_scores,
    grow,
    judge_by_folds,
    table_of,
)

FEW_TREES = ForestSettings(num_trees=20, folds=3)


def drawn(num: int, noise: float, seed: int = 0, suspicious: float = 0.5) -> list[Rated]:
    """Nodules, two a patient, whose one input tells the readers' rating and whose other tells nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num):
        malignancy = 4.5 if rng.random() < suspicious else 1.5
        inputs = {"feature.tells": malignancy + rng.normal(0, noise), "feature.empty": rng.normal()}
        rows.append(Rated(f"P{number // 2}", malignancy, rng.uniform(4, 20), inputs))
    return rows


def record_of(forest_inputs: list[str]) -> dict[str, object]:
    return {
        "name": "random-forest",
        "version": "1",
        "description": "Drawn.",
        "licence": "none",
        "inputs": forest_inputs,
        "data": {"cohorts": [], "num_patients": 0, "num_examples": 0, "split": "none", "licence": "none"},
        "training": {},
        "scores": [],
        "git_commit": "0" * 40,
    }


@pytest.mark.parametrize("smote", [False, True])
def test_what_tells_is_learned_and_judged_beside_the_ruler(smote: bool) -> None:
    rows = drawn(120, 0.5)
    settings = FEW_TREES.model_copy(update={"smote": smote})
    scores = {score.name: score for score in forest_scores(rows, judge_by_folds(rows, settings), "drawn")[:3]}
    assert scores["auc"].value > 0.95
    assert 0.3 < scores["auc, readers' diameter alone"].value < 0.7
    gain = scores["auc less readers' diameter alone, paired"]
    assert gain.low is not None
    assert 0 < gain.low < gain.value


def test_a_patient_known_by_heart_does_not_help_in_folds() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(40):  # ratings by chance; the input is the patient's own number
        malignancy = float(rng.choice([1.5, 4.5]))
        rows += [Rated(f"P{patient}", malignancy, 8.0, {"feature.patient": float(patient * 7919 % 101)})] * 6
    known = grow(rows, FEW_TREES).predict_proba(table_of(rows))[:, 1]
    by_folds = judge_by_folds(rows, FEW_TREES)
    positive = np.array([one.malignancy > 3 for one in rows])
    assert known[positive].mean() - known[~positive].mean() > 0.8
    assert by_folds[positive].mean() - by_folds[~positive].mean() < 0.3


def test_the_middle_of_the_scale_teaches_nothing() -> None:
    rows = drawn(40, 0.5)
    middle = [Rated("P99", 3.0, 8.0, {"feature.tells": 100.0, "feature.empty": 0.0})] * 30
    same = grow(rows, FEW_TREES).predict_proba(table_of(rows))
    assert (grow([*rows, *middle], FEW_TREES).predict_proba(table_of(rows)) == same).all()


def test_smote_evens_the_classes_between_neighbours_whatever_the_scales() -> None:
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.uniform(10, 20, 30), rng.uniform(1e5, 2e5, 30)])
    labels = np.arange(30) < 6
    filled, kinds = fill_up(table, labels, seed=0)
    assert kinds.sum() == (~kinds).sum() == 24
    assert np.allclose(filled[:30], table)
    made = filled[30:]
    assert ((made >= table[labels].min(axis=0) - 1e-6) & (made <= table[labels].max(axis=0) + 1e-6)).all()


def test_one_row_of_the_rarer_class_is_left_alone() -> None:
    table, labels = np.arange(10.0)[:, None], np.arange(10) < 1
    filled, kinds = fill_up(table, labels, seed=0)
    assert filled is table
    assert kinds is labels


def test_a_forest_needs_both_kinds() -> None:
    with pytest.raises(UsageRefusal, match="suspect"):
        grow(drawn(20, 0.1, suspicious=1.0), FEW_TREES)


def test_what_is_stored_is_what_was_grown(tmp_path: Path) -> None:
    rows = drawn(60, 1.0)
    trees = grow(rows, FEW_TREES)
    write_forest(tmp_path / "forest", trees, record_of(list(rows[0].inputs)))
    forest = load_forest(tmp_path / "forest")
    shuffled = [dict(reversed(list(one.inputs.items()))) for one in rows]  # inputs go by name
    assert (forest.suspicion(shuffled) == trees.predict_proba(table_of(rows))[:, 1]).all()
    assert forest.suspicion([]).shape == (0,)
    assert b"pickle" not in (tmp_path / "forest" / FOREST_FILE).read_bytes()


def test_an_altered_forest_or_another_version_is_refused(tmp_path: Path) -> None:
    rows = drawn(40, 1.0)
    folder = tmp_path / "forest"
    write_forest(folder, grow(rows, FEW_TREES), record_of(list(rows[0].inputs)))
    record = json.loads((folder / "record.json").read_text())

    (folder / "record.json").write_text(json.dumps({**record, "scikit_learn": "0.1.0"}))
    with pytest.raises(ModelRefusal, match=r"0\.1\.0.*model-unsupported"):
        load_forest(folder)
    (folder / "record.json").write_text(json.dumps({**record, "inputs": ["feature.tells"]}))
    with pytest.raises(ModelRefusal, match="model-altered"):
        load_forest(folder)
    (folder / "record.json").write_text(json.dumps(record))
    (folder / FOREST_FILE).write_bytes((folder / FOREST_FILE).read_bytes() + b"0")
    with pytest.raises(ModelRefusal, match="model-altered"):
        load_forest(folder)
    (folder / FOREST_FILE).unlink()
    with pytest.raises(ModelRefusal, match="model-missing"):
        load_forest(folder)


def test_a_tree_that_points_outside_is_refused_and_not_followed(tmp_path: Path) -> None:
    rows = drawn(40, 1.0)
    trees = grow(rows, FEW_TREES)
    state = trees.estimators_[0].tree_.__getstate__()
    state["nodes"]["left_child"][0] = 10_000_000
    trees.estimators_[0].tree_.__setstate__(state)
    write_forest(tmp_path, trees, record_of(list(rows[0].inputs)))
    with pytest.raises(ModelRefusal, match="model-altered"):
        load_forest(tmp_path)
