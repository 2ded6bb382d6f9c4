"""The tiny models, written once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_models import write_tiny_models


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`detection/` and `segmentation/` (U-Nets), `classification/` (a hybrid ViT). Not to be written to."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_models(folder)
    return folder


@pytest.fixture
def own_models(models_folder: Path, tmp_path: Path) -> Path:
    """A copy that the test may spoil."""
    return Path(shutil.copytree(models_folder, tmp_path / "models"))
