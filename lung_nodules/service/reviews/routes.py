"""Reviews: what readers say about findings, and the corrected report, SR, SEG and labels that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Depends, Query
from fastapi import Path as PathParameter
from psycopg.errors import ForeignKeyViolation
from starlette.responses import Response

from lung_nodules.execution import read_line_settings
from lung_nodules.service.api.documents import binary, problems
from lung_nodules.service.api.routes.results import find_results, get_results
from lung_nodules.service.api.state import ServiceState, get_desk, get_job, get_state
from lung_nodules.service.jobs.desk import JobDesk
from lung_nodules.service.jobs.model import Job, JobNotFound
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.reviews.exports import export
from lung_nodules.service.reviews.model import (
    FindingNotFound,
    NothingReviewed,
    ResultsChanged,
    Review,
    ReviewOrder,
)
from lung_nodules.service.reviews.store import ReviewStore
from lung_nodules.service.reviews.stored_report import read_names
from lung_nodules.service.security.access import GuardedRoute, Role, User, require

router = APIRouter(prefix="/v1/jobs/{job_id}", route_class=GuardedRoute, tags=["reviews"])

Viewer = Annotated[User, Depends(require(Role.viewer))]
Operator = Annotated[User, Depends(require(Role.operator))]
Results = Annotated[ResultFolder, Depends(get_results)]
State = Annotated[ServiceState, Depends(get_state)]
FindingId = Annotated[str, PathParameter(max_length=64, pattern=r"^[\w.-]+$", examples=["N1"])]
DICOM = "application/dicom"


def get_store(desk: Annotated[JobDesk, Depends(get_desk)]) -> ReviewStore:
    """The reviews of all jobs."""
    return ReviewStore(desk.pool)


Store = Annotated[ReviewStore, Depends(get_store)]
ReviewedJob = Annotated[Job, Depends(get_job)]


async def get_result_uid(job: ReviewedJob, state: State) -> str | None:
    """Names the results of the job that a path names; None where they are gone, or not there yet.

    Raises:
        ReportUnreadable: 409.
    """
    results = find_results(job, state.settings)
    try:
        return (await anyio.to_thread.run_sync(read_names, results))[0] if results else None
    except FileNotFoundError:
        return None


ResultUid = Annotated[str | None, Depends(get_result_uid)]


async def get_reviews(job: ReviewedJob, result_uid: ResultUid, store: Store) -> tuple[Review, ...]:
    """What holds of the job that a path names.

    Raises:
        NothingReviewed: 409.
    """
    reviews = await store.latest(_owner(job), result_uid)
    if not reviews:
        raise NothingReviewed
    return reviews


Holding = Annotated[tuple[Review, ...], Depends(get_reviews)]


@router.get("/reviews", responses=problems(409))
async def list_reviews(
    _user: Viewer,
    job: ReviewedJob,
    result_uid: ResultUid,
    store: Store,
    history: Annotated[bool, Query(description="Everything that was ever said, not only what holds.")] = False,
) -> list[Review]:
    """List what readers said: of each finding what holds, or the whole history."""
    owner = _owner(job)
    return list(await (store.history(owner) if history else store.latest(owner, result_uid)))


@router.put("/findings/{finding_id}/review", responses=problems(409))
async def review_finding(
    user: Operator, job: ReviewedJob, results: Results, store: Store, finding_id: FindingId, order: ReviewOrder
) -> Review:
    """Accept, reject or correct a finding; the latest word holds, and the earlier ones are kept."""
    result_uid, finding_ids = await anyio.to_thread.run_sync(read_names, results)
    if order.result_uid not in (None, result_uid):
        raise ResultsChanged
    if finding_id not in finding_ids:
        raise FindingNotFound
    try:
        return await store.add(_owner(job), result_uid, finding_id, order, user)
    except ForeignKeyViolation as error:
        raise JobNotFound from error


@router.get("/corrected.json", responses={**problems(409), **binary("application/json", "The corrected report.")})
def show_corrected_report(_user: Viewer, results: Results, reviews: Holding, state: State) -> Response:
    """Show the report as the reviews leave it, with what was rejected and which values are a reader's."""
    from lung_nodules.service.reviews.corrected import correct_report
    from lung_nodules.service.reviews.source import JobSource

    line = read_line_settings(state.settings.line_config)
    corrected = correct_report(JobSource(results).report(), reviews, line.report)
    return Response(corrected.model_dump_json(), media_type="application/json")


@router.get("/corrected.dcm", responses={**problems(409, 507), **binary(DICOM, "The corrected SR.")})
async def download_corrected_report(_user: Viewer, results: Results, reviews: Holding, state: State) -> Response:
    """Download the corrected SR, which names the job's own as its predecessor."""

    def write(path: Path) -> None:
        from lung_nodules.service.reviews.objects import write_report_object
        from lung_nodules.service.reviews.source import JobSource

        of_site = state.settings.reviews
        organization = of_site.organization if of_site.verified else None
        source = JobSource(results, path.parent)
        write_report_object(source, reviews, path, read_line_settings(state.settings.line_config), organization)

    return await export(state.spool, "corrected.dcm", DICOM, write)


@router.get("/corrected_segmentation.dcm", responses={**problems(409, 507), **binary(DICOM, "The corrected SEG.")})
async def download_corrected_segmentation(_user: Viewer, results: Results, reviews: Holding, state: State) -> Response:
    """Download the SEG without the rejected findings; 404 where none was rejected."""

    def write(path: Path) -> None:
        from lung_nodules.service.reviews.objects import write_segmentation_object
        from lung_nodules.service.reviews.source import JobSource

        source = JobSource(results, path.parent)
        write_segmentation_object(source, reviews, path, read_line_settings(state.settings.line_config))

    return await export(state.spool, "corrected_segmentation.dcm", DICOM, write)


@router.get("/labels.json", responses={**problems(409, 507), **binary("application/json", "The labels.")})
async def show_labels(_user: Viewer, job: ReviewedJob, results: Results, reviews: Holding, state: State) -> Response:
    """Show the reviews as training labels: rows of a cohort's table, and places that are no nodules."""

    def write(path: Path) -> None:
        from lung_nodules.service.reviews.labels import list_labels
        from lung_nodules.service.reviews.source import JobSource

        labels = list_labels(JobSource(results, path.parent), job.id, reviews, state.settings.data_folder)
        path.write_text(labels.model_dump_json(), encoding="utf-8")

    return await export(state.spool, "labels.json", "application/json", write)


@router.get("/labels.zip", responses={**problems(409, 507), **binary("application/zip", "A cohort of one scan.")})
async def download_labels_as_cohort(
    _user: Viewer, job: ReviewedJob, results: Results, reviews: Holding, state: State
) -> Response:
    """Download the labels with the crops that they are of: a cohort that training reads, and labels.json."""

    def write(path: Path) -> None:
        from lung_nodules.service.reviews.labels import pack_labels
        from lung_nodules.service.reviews.source import JobSource

        pack_labels(JobSource(results, path.parent), job.id, reviews, path, state.settings.data_folder)

    return await export(state.spool, "labels.zip", "application/zip", write)


def _owner(job: Job) -> UUID:
    """Whose findings they are: of a duplicate, those of the job that it is a duplicate of."""
    return job.duplicate_of or job.id
