"""The demo study: an empty service begins with it, another one is left as it is."""

import asyncio

import pytest
from service_fixtures import write_study

from lung_nodules.service.demo import submit_demo
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobQuery

pytestmark = pytest.mark.service


def test_an_empty_service_begins_with_the_demo_once(settings, run, tmp_path):
    study, other = write_study(tmp_path / "study"), write_study(tmp_path / "other")

    async def scenario():
        first = await asyncio.to_thread(submit_demo, settings, study)
        again = await asyncio.to_thread(submit_demo, settings, other)
        assert again.id == first.id
        assert first.source.path == str(study)
        async with open_desk(settings) as desk:
            assert len((await desk.list(JobQuery())).jobs) == 1

    run(scenario())
