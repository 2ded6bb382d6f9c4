"""One small study on disk and one thin stack of full resolution in memory, shared by the tests of the phantom."""

from __future__ import annotations

import pytest
from small_phantoms import FINE, SMALL

from lung_nodules.phantom import Chest, Phantom, build_chest, write_phantom


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Phantom:
    """A coarse study of seven nodules, written to disk."""
    return write_phantom(tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture(scope="session")
def fine() -> Chest:
    """Forty slices of full resolution through the middle of the chest."""
    return build_chest(FINE)
