"""Orders to a worker's child and the answers to them: one study's answer is never another's."""

import pytest
from service_fixtures import TESTS, write_study

from lung_nodules.service.jobs.child_link import ChildLink
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobOrder, Source

pytestmark = pytest.mark.service


async def unheard(share: float, stage: str) -> None:
    """Progress that nobody asks for."""


async def broken(share: float, stage: str) -> None:
    raise RuntimeError("the database cannot be written to")


@pytest.fixture(autouse=True)
def _children_find_the_fixed_analysis(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


def test_an_order_that_was_left_in_the_middle_does_not_answer_the_next(settings, run, tmp_path):
    first, second = (write_study(tmp_path / name, delay_s=1.0) for name in ("first", "second"))

    async def scenario():
        async with open_desk(settings) as desk:
            orders = (JobOrder(source=Source(kind="folder", path=str(path))) for path in (first, second))
            jobs = [await desk.submit(order) for order in orders]
        link = ChildLink(settings)
        try:
            known = [await link.ask("fetch", job, unheard, into=str(tmp_path / "work")) for job in jobs]
            more = {"folder": str(first), "content_hash": known[0]["content_hash"], "into": str(tmp_path / "results")}
            with pytest.raises(RuntimeError):
                await link.ask("analyse", jobs[0], broken, earlier=None, **more)
            assert await link.ask("fetch", jobs[1], unheard, into=str(tmp_path / "work")) == known[1]
        finally:
            await link.kill()
        assert known[0]["study_instance_uid"] != known[1]["study_instance_uid"]

    run(scenario())
