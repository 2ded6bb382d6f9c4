"""kill -9 of everything at random moments, and an archive that is slow, cuts, fails and lies, end to end.

The service is the one that a user starts; the archive is a real Orthanc. Nothing is lost, nothing is doubled, neither a
job nor an object in the archive, and whatever went wrong has its name.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
import storing_analysis
from fault_proxy import (
    Answer,
    FaultProxy,
    Spoil,
    claims_more,
    fails,
    is_cut,
    is_slow,
    lists_fewer,
    start_fault_proxy,
)
from proof_service import Chest, Serving, archive_values, instances_in, is_settled, serving, wait_until, write_chest
from real_orthanc import Orthanc, need_orthanc, start_orthanc
from service_fixtures import short_folder
from storing_analysis import DELAY_VARIABLE, NUM_OBJECTS

from lung_nodules.archive.refusals import HEALING
from lung_nodules.service.jobs.model import Job, JobState

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(900)]

SEED = 15
NUM_JOBS = 30
NUM_KILLS = 3  # of each
NUM_EARLY = NUM_JOBS - NUM_KILLS  # studies that are in the archive from the beginning; the others come under fire
ORDERS = {7: "refuse", 13: "refuse", 21: "crash"}  # the others are to be done
WORKERS = {
    **{"heartbeat_s": 0.3, "lease_s": 2.0, "poll_s": 0.5, "first_retry_s": 0.2, "longest_retry_s": 2.0},
    **{"progress_s": 0.1, "grace_s": 1.0, "analysis": storing_analysis.NAME},
    "max_losses": 50,  # with so short a lease, a machine that is busy makes workers seem lost
}
# What may go wrong for a while, and what for good.
PASSING = {*HEALING, "worker-lost", "analysis-crashed", "connection-broken"}
STATES = {"": JobState.done, "refuse": JobState.refused, "crash": JobState.set_aside}
CODES = {"refuse": "no-lungs", "crash": "analysis-crashed"}
VICTIMS = ("worker", "worker", "child", "child", "api", "watch", "database", "orthanc", "supervisor")


@pytest.fixture
def folder():
    need_orthanc(dicomweb=True)
    with short_folder() as made:
        yield made


@pytest.fixture
def orthanc(folder):
    with start_orthanc(folder / "orthanc", dicomweb=True) as started:
        yield started


class Killer:
    """Kills what it is told to, and starts again what no supervisor does."""

    def __init__(self, service: Serving, orthanc: Orthanc, moments: random.Random) -> None:
        self._service = service
        self._orthanc = orthanc
        self._moments = moments
        self.killed: Counter[str] = Counter()

    def kill(self, victim: str) -> None:
        """Kill one, if it is there."""
        if victim == "orthanc":
            self._orthanc.stop(kill=True)
            time.sleep(self._moments.uniform(0.1, 1.5))
            self._orthanc.start()
        elif victim == "supervisor":
            self._service.kill()
            self._service.start()
        elif not self._kill_process(victim):
            return
        self.killed[victim] += 1

    def _kill_process(self, role: str) -> bool:
        for _ in range(50):
            found = sorted(self._service.find(role), key=lambda each: each.pid)
            if found:
                try:
                    self._moments.choice(found).kill()
                except psutil.NoSuchProcess:
                    continue
                return True
            time.sleep(0.1)
        return False


class Reasons:
    """Every reason that a job has shown."""

    def __init__(self, service: Serving) -> None:
        self._service = service
        self.codes: Counter[str] = Counter()

    def note(self) -> list[Job]:
        """Look once more."""
        jobs = self._service.jobs()
        self.codes.update(job.reason.code for job in jobs if job.reason)
        return jobs


def test_whatever_is_killed_nothing_is_lost_and_nothing_doubled(folder: Path, orthanc: Orthanc) -> None:
    studies = [write_chest(folder / f"study-{number}", ORDERS.get(number, "")) for number in range(NUM_JOBS)]
    for study in studies[:NUM_EARLY]:
        orthanc.add(study.files)
    late = iter(studies[NUM_EARLY:])
    moments = random.Random(SEED)
    victims = moments.sample(VICTIMS * NUM_KILLS, len(VICTIMS) * NUM_KILLS)
    # every kill of a child counts as a crash of the study that it had, and all may hit the same one
    counts = {"max_crashes": victims.count("child") + 1, "count": 2}
    values = {**archive_values(orthanc.url), "workers": {**WORKERS, **counts}}
    with serving(folder, variables={DELAY_VARIABLE: "1.5"}, **values) as service:
        killer, reasons = Killer(service, orthanc, moments), Reasons(service)
        wait_until(reasons.note, 60, lambda: tail(service))
        answers = []
        for victim in victims:
            time.sleep(moments.uniform(0.2, 2.5))
            orthanc.add(next(late).files if victim == "orthanc" else ())  # it dies before it calls the study stable
            answers.append(service.ask("/v1/studies", {"study_instance_uid": moments.choice(studies[:NUM_EARLY]).uid}))
            killer.kill(victim)
            reasons.note()
        wait_until(lambda: reasons.note() and is_settled(service, orthanc), 300, lambda: tail(service))
        jobs = service.jobs()
        judge(jobs, studies, instances_in(orthanc))
        assert set(killer.killed) == set(VICTIMS)
        assert set(reasons.codes) <= PASSING | set(CODES.values())
        assert all(status in (0, 202, 503) for status, _ in answers), Counter(status for status, _ in answers)
        assert all(document["code"] for status, document in answers if status == 503)
        stand = instances_in(orthanc)
        service.stop()
        orthanc.stop()
        orthanc.start()
        service.start()
        wait_until(lambda: is_settled(service, orthanc), 60, lambda: tail(service))
        assert service.jobs() == jobs
        assert instances_in(orthanc) == stand


def judge(jobs: Sequence[Job], studies: Sequence[Chest], stand: dict[str, list[str]]) -> None:
    """One job a study that is no duplicate, ended as ordered; the slices and one set of results in the archive."""
    own = [job for job in jobs if job.duplicate_of is None]
    assert sorted(str(job.source.study_instance_uid) for job in own) == sorted(study.uid for study in studies)
    assert {job.duplicate_of for job in jobs} - {None} <= {job.id for job in own}
    by_uid = {job.source.study_instance_uid: job for job in own}
    for number, study in enumerate(studies):
        job, order = by_uid[study.uid], ORDERS.get(number, "")
        assert job.state is STATES[order], (job.state, job.reason)
        assert job.version == 1
        assert (job.reason.code if job.reason else None) == CODES.get(order)
        num_results = NUM_OBJECTS if order == "" else 0
        assert len(stand[study.uid]) == len(study.files) + num_results


def tail(service: Serving) -> str:
    """How it stands, for whoever looks at a test that has failed."""
    jobs = Counter((job.state.value, job.step, job.reason.code if job.reason else "") for job in service.jobs())
    return f"{jobs}\n{service.log.read_text(errors='replace')[-3000:]}"


SERIES = r"GET /dicom-web/studies/{uid}/series\?"
LIST = r"GET /dicom-web/studies/{uid}/series/[0-9.]+/instances\?"
METADATA = r"GET /dicom-web/studies/{uid}/.*/metadata"
INSTANCE = r"GET /dicom-web/studies/{uid}/.*/instances/[0-9.]+$"
STORE = r"POST /dicom-web/studies/{uid}$"
_TAKES_NOTHING: Spoil = lambda _question, _answer: Answer(202)  # noqa: E731

# what is spoiled, how, whether the archive is reached, and the codes of the job that ends with it
SPOILS: dict[str, tuple[str, Spoil, bool, set[str]]] = {
    "lists-series-500": (SERIES, fails(500), True, {"archive-error"}),
    "lists-series-503": (SERIES, fails(503), True, {"archive-busy"}),
    "lists-series-401": (SERIES, fails(401), True, {"archive-auth"}),
    "counts-too-many": (SERIES, claims_more(1), True, {"archive-short-count"}),
    "lists-too-few": (LIST, lists_fewer(1), True, {"archive-short-count"}),
    "lists-no-json": (LIST, is_cut(0.5), True, {"archive-unreachable", "archive-bad-answer"}),
    "lists-late": (LIST, is_slow(delay_s=2.5), True, {"archive-timeout"}),
    "metadata-500": (METADATA, fails(500), True, {"archive-error"}),
    "gives-500": (INSTANCE, fails(500), True, {"archive-error"}),
    "gives-404": (INSTANCE, fails(404), True, {"archive-short-count"}),
    "gives-late": (INSTANCE, is_slow(delay_s=2.5), True, {"archive-timeout"}),
    "gives-drops": (INSTANCE, is_slow(piece_delay_s=2.5), True, {"archive-timeout"}),
    "gives-half": (INSTANCE, is_cut(0.5), True, {"archive-unreachable", "archive-bad-answer"}),
    "gives-half-without-length": (INSTANCE, is_cut(0.5, has_length=False), True, {"archive-bad-answer"}),
    "takes-500": (STORE, fails(500), False, {"archive-error"}),
    "takes-and-says-500": (STORE, fails(500), True, {"archive-error"}),
    "takes-and-hangs-up": (STORE, is_cut(0.0), True, {"archive-unreachable", "archive-bad-answer"}),
    "takes-nothing": (STORE, _TAKES_NOTHING, False, {"push-not-confirmed"}),
    "takes-none-that-large": (STORE, fails(413), False, {"push-rejected"}),
}
NUM_SPOILED = 12  # requests: more than the watcher asks, and more than one attempt
LASTING = {"lists-series-401", "takes-none-that-large"}


def spoil(proxy: FaultProxy, name: str, study: Chest, times: int | None) -> None:
    """Let one study be spoiled in one way."""
    pattern, how, reaches_archive, _ = SPOILS[name]
    pattern = pattern.replace("{uid}", study.uid.replace(".", r"\."))
    proxy.spoil(pattern, how, times=times, reaches_archive=reaches_archive)


@pytest.fixture
def spoiled(folder, orthanc):
    """Orthanc behind a proxy, a study for each way to spoil it, and the settings of a service."""
    studies = {name: write_chest(folder / name) for name in SPOILS}
    for study in studies.values():
        orthanc.add(study.files)
    with start_fault_proxy(orthanc.url) as proxy:
        values = archive_values(proxy.url, read_timeout_s=1.0, request_timeout_s=4.0)
        counts = {"count": 2}
        yield proxy, studies, {**values, "workers": {**WORKERS, **counts}}


def test_an_archive_that_fails_for_a_while_is_outlived(folder: Path, orthanc: Orthanc, spoiled) -> None:
    """Longer than one request is repeated: the attempt ends, and the next one goes on."""
    proxy, studies, values = spoiled
    with serving(folder, **values) as service:
        for name, study in studies.items():
            if name not in LASTING:
                spoil(proxy, name, study, times=NUM_SPOILED)
        reasons = Reasons(service)
        wait_until(lambda: reasons.note() and is_settled(service, orthanc), 240, lambda: tail(service))
        jobs = service.jobs()
        names = {study.uid: name for name, study in studies.items()}
        undone = [(names[job.source.study_instance_uid], job.step, job.reason) for job in jobs if job.state != "done"]
        assert not undone
        assert len(jobs) == len(studies)
        assert len({job.source.study_instance_uid for job in jobs}) == len(studies)
        assert set(reasons.codes) <= PASSING
        assert sum(job.attempts > 1 for job in jobs) > len(studies) / 3
        assert_one_set_of_results(orthanc, studies.values())


def test_an_archive_that_goes_on_failing_is_named_and_heals(folder: Path, orthanc: Orthanc, spoiled) -> None:
    """Every study but one is spoiled for good: each job says how, holds up no other, and can be done later."""
    proxy, studies, values = spoiled
    values["workers"]["heal_within_s"] = 20
    for name, study in studies.items():
        spoil(proxy, name, study, times=None)
    good = write_chest(folder / "good")
    orthanc.add(good.files)
    with serving(folder, **values) as service:
        wait_until(lambda: is_settled(service, orthanc), 360, lambda: tail(service))
        found = {job.source.study_instance_uid: job for job in service.jobs()}
        assert found.pop(good.uid).state is JobState.done
        outcomes = {name: found.pop(study.uid) for name, study in studies.items()}
        assert not found
        assert all(job.state is JobState.failed for job in outcomes.values()), tail(service)
        assert not {name: job.reason.code for name, job in outcomes.items() if job.reason.code not in SPOILS[name][3]}
        proxy.heal()
        for job in outcomes.values():
            status, document = service.ask(f"/v1/jobs/{job.id}/retry", {})
            assert status == 200, document
        wait_until(lambda: is_settled(service, orthanc), 240, lambda: tail(service))
        assert {job.state for job in service.jobs() if job.duplicate_of is None} == {JobState.done}
        assert_one_set_of_results(orthanc, [*studies.values(), good])


def assert_one_set_of_results(orthanc: Orthanc, studies) -> None:
    stand = instances_in(orthanc)
    assert {study.uid: len(stand[study.uid]) for study in studies} == {
        study.uid: len(study.files) + NUM_OBJECTS for study in studies
    }
