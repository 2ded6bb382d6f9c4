"""A service with an identity provider, an archive and jobs; without a worker, so that they stay as they are."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_server import RunningApi, serving
from identity_provider import AUDIENCE
from results_maker import add_job, add_result
from sign_in_provider import CLIENT, SignInProvider, sign_in_provider
from studies_maker import write_study

from lung_nodules.service.database.embedded import embedded_server
from lung_nodules.service.settings import ServiceSettings

NAMES = ("Doe^Jane", "Roe^Richard", "Wang^XiaoDong=王^小东", "Miller^Anna Maria", "Okafor^Chidi")
DESCRIPTIONS = ("CT chest without contrast", "Low-dose CT, screening", "CT chest, follow-up of nodule")
NUM_STUDIES = 60
PATIENT_ID = "P-4711"


@dataclass(frozen=True)
class Desk:
    """The service, and who signs people in."""

    api: RunningApi
    provider: SignInProvider

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.api.address[1]}/"

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as the database has it; empty where it is gone."""
        rows = self.api.query("SELECT state, priority FROM jobs WHERE id = %s", job_id)
        return {"state": rows[0][0], "priority": rows[0][1]} if rows else {}

    def add_read(self, **columns: Any) -> str:
        """A job that is done, whose report says whose study it was."""
        summary = {"num_findings": 2, "highest_suspicion": 0.71, "result": "suspicious", "quality": "pass"}
        times = {"started_at": "2026-11-25T15:00:01Z", "finished_at": "2026-11-25T15:00:31Z"}
        job_id = add_result(self.api, summary=json.dumps(summary), **times, **columns)
        study = {"patient_id": PATIENT_ID, "accession_number": "A-2024-17", "study_date": "2024-02-03"}
        report = {"study": {**study, "study_instance_uid": "1.2.3"}}
        (self.api.settings.data_folder / "results" / job_id / "report.json").write_text(json.dumps(report))
        return job_id

    def add(self, state: str, **columns: Any) -> str:
        """A job in some state."""
        return add_job(self.api, state, **columns)


@contextmanager
def running_desk(archive: Path) -> Iterator[Desk]:
    """Run it all until the block ends; the folder's path is short, as PostgreSQL's socket asks."""
    write_archive(archive)
    short = tempfile.TemporaryDirectory(prefix="desk-", ignore_cleanup_errors=True)
    with short as folder, embedded_server(Path(folder)) as database, sign_in_provider() as provider:
        (archive.parent / "url").write_text(database.url)
        settings = ServiceSettings(
            data_folder=archive.parent / "data",
            database={"url_file": archive.parent / "url", "embedded": False},
            workers={"analysis": "lung_nodules.service.api.app:create_app"},  # never called: no worker runs
            archives={"pacs": {"kind": "folder", "path": str(archive)}},
            auth={
                "mode": "oidc",
                "issuer": provider.issuer,
                "audience": AUDIENCE,
                "jwks_url": provider.url,
                "client_id": CLIENT,
                "clock_skew_s": 0,
            },
        )
        with serving(settings) as api:
            desk = Desk(api, provider)
            provider.page = desk.address
            yield desk


def write_archive(folder: Path) -> None:
    for number in range(NUM_STUDIES):
        elements = {
            "PatientName": NAMES[number % len(NAMES)],
            "PatientID": f"P-{number:04d}",
            "AccessionNumber": f"A-2024-{number:02d}",
            "StudyDate": f"2024{1 + number // 28:02d}{1 + number % 28:02d}",
            "StudyTime": "101500",
            "StudyDescription": DESCRIPTIONS[number % len(DESCRIPTIONS)],
        }
        write_study(folder, f"1.2.826.0.1.3680043.8.498.{number}", **elements)
