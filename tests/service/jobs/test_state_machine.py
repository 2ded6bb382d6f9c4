"""Anything may happen in any order, on a real PostgreSQL: submissions, claims, silence, sweeps, late writes, cancels.

Whatever is drawn, a job follows only where it may, each study's content has one result at most, and what is promised is
waiting with a ticket, running under a lease or ended.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from service_fixtures import FAST, make_settings

from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, FOLLOWS, JobConflict, JobOrder, JobState, Reason, Source
from lung_nodules.service.jobs.sweeping import sweep

pytestmark = [pytest.mark.service, pytest.mark.slow]

UIDS, CONTENTS = ["1.1", "1.2"], ["a", "b"]
REASON = Reason(code="some-reason", sentence="Something.")


class JobsMachine(RuleBasedStateMachine):
    """Two studies with two contents, any number of workers."""

    service_settings = None  # set by the test
    jobs = Bundle("jobs")
    attempts = Bundle("attempts")

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.opened = open_desk(self.service_settings)
        self.desk = self.wait(self.opened.__aenter__())
        self.query("TRUNCATE jobs, notices; TRUNCATE procrastinate_jobs CASCADE")
        self.states = {}
        self.retried = set()

    def wait(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def query(self, text, *values):
        async def ask():
            async with self.desk.pool.connection() as connection:
                cursor = await connection.execute(text, values or None)
                return await cursor.fetchall() if cursor.description else []

        return self.wait(ask())

    @rule(target=jobs, uid=st.sampled_from(UIDS), content=st.none() | st.sampled_from(CONTENTS))
    def submit(self, uid, content):
        source = Source(kind="archive", archive="pacs", study_instance_uid=uid)
        return self.wait(self.desk.submit(JobOrder(source=source, content_hash=content))).id

    @rule(target=attempts)
    def take_the_next_ticket(self):
        rows = self.query(
            "UPDATE procrastinate_jobs SET status = 'doing' WHERE id = (SELECT id FROM procrastinate_jobs"
            " WHERE status = 'todo' ORDER BY priority DESC, id LIMIT 1) RETURNING id, args"
        )
        if not rows:
            return multiple()
        attempt = self.wait(ledger.claim(self.desk.pool, rows[0]["args"]["job_id"], rows[0]["id"]))
        return attempt if attempt else multiple()

    @rule(attempt=attempts, content=st.sampled_from(CONTENTS))
    def learn(self, attempt, content):
        self.write(duplicates.learn_content(self.desk.pool, attempt, attempt.job.source.study_instance_uid, content))

    @rule(attempt=attempts, models=st.sampled_from(["old", "new"]))
    def learn_models(self, attempt, models):
        self.write(duplicates.learn_models(self.desk.pool, attempt, models))

    @rule(
        attempt=attempts,
        state=st.sampled_from([JobState.done, JobState.failed, JobState.refused, JobState.set_aside]),
    )
    def finish(self, attempt, state):
        self.write(ledger.finish(self.desk.pool, attempt, state, REASON))

    @rule(attempt=attempts, counts_as=st.sampled_from(["crashes", "failures", None]))
    def put_back(self, attempt, counts_as):
        self.write(ledger.put_back(self.desk.pool, attempt, timedelta(), REASON, counts_as=counts_as))

    def write(self, coroutine):
        """As a worker: it may have lost its lease, and then nothing happens."""
        before = self.query("SELECT id, state, lease FROM jobs ORDER BY id")
        try:
            self.wait(coroutine)
        except ledger.LeaseLost:
            assert self.query("SELECT id, state, lease FROM jobs ORDER BY id") == before

    @rule()
    def a_worker_falls_silent_and_somebody_sweeps(self):
        self.query("UPDATE jobs SET beat_at = now() - interval '1 hour' WHERE state = 'running'")
        self.wait(sweep(self.desk.pool, self.service_settings.workers))
        assert self.query("SELECT id FROM jobs WHERE state = 'running'") == []

    @rule()
    def the_queue_loses_its_tickets_and_somebody_sweeps(self):
        self.query("DELETE FROM procrastinate_jobs")
        self.query("UPDATE jobs SET waiting_since = now() - interval '1 hour'")
        self.wait(sweep(self.desk.pool, self.service_settings.workers))

    @rule(job=jobs)
    def cancel(self, job):
        self.steer(self.desk.cancel(job))

    @rule(job=jobs)
    def retry(self, job):
        self.retried.add(job)
        self.steer(self.desk.retry(job))

    @rule(job=jobs, priority=st.integers(-10, 20))
    def set_priority(self, job, priority):
        self.steer(self.desk.set_priority(job, priority))

    def steer(self, coroutine):
        with suppress(JobConflict):  # it is in no state for that, and stays as it is
            self.wait(coroutine)

    @invariant()
    def a_job_follows_only_where_it_may(self):
        for row in self.query("SELECT id, state FROM jobs"):
            before, now = self.states.get(row["id"]), JobState(row["state"])
            if before is not None and before is not now:
                assert now in FOLLOWS[before] or (before in ENDED and row["id"] in self.retried), (before, now)
            self.states[row["id"]] = now

    @invariant()
    def a_content_has_one_result_at_most(self):
        rows = self.query(
            "SELECT study_key, content_hash, models_hash, count(*) AS results FROM jobs WHERE state = 'done'"
            " AND content_hash IS NOT NULL GROUP BY 1, 2, 3 HAVING count(*) > 1"
        )
        assert rows == []

    @invariant()
    def what_waits_has_a_ticket_and_what_runs_a_lease(self):
        rows = self.query(
            "SELECT j.id FROM jobs j LEFT JOIN procrastinate_jobs p ON p.id = j.ticket"
            " WHERE j.state = 'queued' AND p.status IS DISTINCT FROM 'todo'"
        )
        assert rows == []
        assert self.query("SELECT id FROM jobs WHERE (state = 'running') <> (lease IS NOT NULL)") == []

    @invariant()
    def a_duplicate_is_of_another_job(self):
        assert (
            self.query(
                "SELECT d.id FROM jobs d LEFT JOIN jobs j ON j.id = d.duplicate_of"
                " WHERE d.state = 'duplicate' AND (j.id IS NULL OR j.id = d.id OR j.state = 'duplicate')"
            )
            == []
        )

    @invariant()
    def each_end_is_to_be_told(self):
        rows = self.query(
            "SELECT j.id FROM jobs j LEFT JOIN notices n ON n.job_id = j.id AND n.ended_at = j.finished_at"
            " AND n.state = j.state WHERE (j.state NOT IN ('queued', 'running')) <> (n.job_id IS NOT NULL)"
        )
        assert rows == []

    def teardown(self):
        self.wait(self.opened.__aexit__(None, None, None))
        self.loop.close()


def test_anything_may_happen_in_any_order(server, tmp_path):
    JobsMachine.service_settings = make_settings(server, tmp_path, workers={**FAST, "max_losses": 3})
    run_state_machine_as_test(
        JobsMachine,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
