"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_folder import SHARED_DATA


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans; its tests are skipped where it is missing (set LUNG_NODULES_DATA to name it)."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}; set LUNG_NODULES_DATA to the folder that holds lidc-scans/")
    return SHARED_DATA
