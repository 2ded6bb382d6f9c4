"""The forest that is committed: read as it was written, left out where it cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lung_nodules.errors import ModelRefusal
from lung_nodules.evaluation.forest import find_forest
from lung_nodules.networks.record import load_model

MODELS = Path(__file__).resolve().parents[2] / "models"


def test_the_committed_forest_was_grown_on_outlines_of_the_committed_outliner() -> None:
    forest = find_forest(MODELS)
    assert forest is not None
    outliner = load_model(MODELS / "segmentation").record
    assert forest.record.training["segmentation_sha256"] == outliner.weights_sha256


def test_a_forest_of_another_scikit_learn_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sklearn.__version__", "0.1.2")
    assert find_forest(MODELS) is None
    assert "0.1.2 is installed" in caplog.text


def test_an_altered_forest_is_refused(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "forest", tmp_path / "forest")
    (tmp_path / "forest" / "forest.skops").write_bytes(b"something else")
    with pytest.raises(ModelRefusal) as refused:
        find_forest(tmp_path)
    assert refused.value.code == "model-altered"


def test_a_models_folder_needs_no_forest(tmp_path: Path) -> None:
    assert find_forest(tmp_path) is None
