"""Where the shared real scans are."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(os.environ.get("LUNG_NODULES_DATA", REPOSITORY.parent / "shared" / "data"))
