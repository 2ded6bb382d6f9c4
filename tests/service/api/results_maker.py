"""Puts a job that is done, with results and a preview, where a worker would put it."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import numpy as np
from api_server import RunningApi
from psycopg.types.json import Jsonb

from lung_nodules.service.preview import write_preview
from lung_nodules.stages.report_model import REPORT_VERSION
from lung_nodules.stages.volume import Geometry, Volume

STUDY = "1.2.826.0.1.3680043.8.498.77"
PIXELS = np.arange(12, dtype="<i2").reshape(3, 4) - 1000
REPORT = {"report_version": REPORT_VERSION, "result_uid": "2.25.77", "findings": []}
LABELS = np.eye(3, 4, dtype="<u2")


def add_job(
    api: RunningApi, state: str = "done", submitted_by: str = "olga", study: str = STUDY, **columns: object
) -> str:
    """Insert a job as it stands after its worker, and give its id."""
    job_id = str(uuid4())
    source = Jsonb({"kind": "archive", "archive": "pacs", "study_instance_uid": study})
    values = {
        "id": job_id,
        "source": source,
        "study_key": f"study:{study}:{job_id}",
        "label": job_id[:8],
        "state": state,
        "submitted_by": submitted_by,
        **columns,
    }
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    api.query(f"INSERT INTO jobs ({names}) VALUES ({marks})", *values.values())
    return job_id


def add_result(api: RunningApi, **columns: object) -> str:
    """Insert a job that is done, with its files."""
    job_id = add_job(api, **columns)
    write_files(api.settings.data_folder / "results" / job_id)
    return job_id


def write_files(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(REPORT))
    (folder / "segmentation.dcm").write_bytes(bytes(128) + b"DICM" + bytes(64))
    (folder / "overview.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "origin.json").write_text("{}")
    upright = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    geometry = Geometry((0.0, 0.0, 0.0), (1.0, 0.7, 0.7), upright, (2, *PIXELS.shape))
    labels = np.stack([np.zeros_like(LABELS), LABELS])
    write_preview(Volume(np.stack([PIXELS, PIXELS + 1]), geometry), labels, [1], folder / "preview")
