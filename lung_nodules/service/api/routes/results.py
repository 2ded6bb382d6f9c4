"""What a job has written: report, files, slices and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Path as PathParameter
from starlette.responses import FileResponse, Response

from lung_nodules.errors import OutputRefusal
from lung_nodules.service.api.documents import binary, json_example, problems
from lung_nodules.service.api.problems import ProblemRefusal
from lung_nodules.service.api.schemas import FileEntry
from lung_nodules.service.api.state import get_job, get_settings
from lung_nodules.service.jobs.model import ENDED, Job, JobState, Step
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.preview import META, PreviewMeta
from lung_nodules.service.security.access import GuardedRoute, Role, User, require
from lung_nodules.service.settings import ServiceSettings

router = APIRouter(prefix="/v1/jobs/{job_id}", route_class=GuardedRoute, tags=["results"])

Viewer = Annotated[User, Depends(require(Role.viewer))]
Scrolling = Annotated[User, Depends(require(Role.viewer, often=True))]
Index = Annotated[int, PathParameter(ge=0, le=99_999, description="Slice, from 0, in the order of the volume.")]
FileName = Annotated[str, PathParameter(max_length=200, pattern=r"^[\w.-]+$", examples=["report.json"])]

_META = {
    "num_slices": 300,
    "rows": 512,
    "columns": 512,
    "spacing_mm": [1.0, 0.7, 0.7],
    "origin_lps": [-180.0, -180.0, -300.0],
    "direction": [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
    "low_hu": -1024,
    "high_hu": 3071,
    "labels": [120, 121],
}
_INLINE = re.compile(r"\.png$")


def get_results(
    job: Annotated[Job, Depends(get_job)], settings: Annotated[ServiceSettings, Depends(get_settings)]
) -> Iterator[ResultFolder]:
    """The results of the job that a path names, or of the one that it is a duplicate of.

    They are there from the step on in which they are stored: an archive that does not take them hides them from nobody.

    Raises:
        ProblemRefusal: 404 ``no-results``, also where they are removed while a route reads them.
    """
    results = find_results(job, settings)
    if results is None:
        raise ProblemRefusal(404, "no-results", _why_none(job))
    try:
        yield results
    except (FileNotFoundError, OutputRefusal) as error:  # the latter of what is published as a folder
        if results.exists():
            raise
        raise ProblemRefusal(404, "no-results", "The job's results were removed meanwhile.") from error


def find_results(job: Job, settings: ServiceSettings) -> ResultFolder | None:
    """The results of a job, or of the one that it is a duplicate of; None where there are none."""
    results = ResultFolder(settings.data_folder, job.duplicate_of or job.id)
    is_read = job.state in (JobState.done, JobState.duplicate) or job.step == Step.store
    return results if is_read and results.exists() else None


Results = Annotated[ResultFolder, Depends(get_results)]


@router.get("/report", responses={**problems(), **binary("application/json", "The report, by its own JSON Schema.")})
def show_report(_user: Viewer, results: Results) -> Response:
    """Show the report."""
    return _file(results.folder / "report.json", "application/json")


@router.get("/files", responses=problems())
def list_files(_user: Viewer, results: Results) -> list[FileEntry]:
    """List the files: report, SEG, SR, pictures."""
    return [FileEntry(name=each.name, media_type=each.media_type, bytes=each.num_bytes) for each in results.files()]


@router.get("/files/{name}", responses={**problems(), **binary("*/*", "The file.")})
def download_file(_user: Viewer, results: Results, name: FileName) -> Response:
    """Download one of the files that are listed."""
    known = {each.name: each.media_type for each in results.files()}
    if name not in known:
        raise ProblemRefusal(404, "no-such-file", "The job has no such file.", "See /files.")
    return _file(results.folder / name, known[name], None if _INLINE.search(name) else name)


@router.get("/slices", responses={**problems(), 200: json_example("Size and place of the volume.", _META)})
def show_volume(_user: Scrolling, results: Results) -> PreviewMeta:
    """Show how many slices there are, of what size, and which of them have labels."""
    return PreviewMeta.model_validate(_json(results.preview / META))


@router.get("/slices/{index}", responses={**problems(), **binary("application/octet-stream", "HU, int16, row by row.")})
def download_slice(_user: Scrolling, results: Results, index: Index) -> Response:
    """Download a slice of the CT: HU, int16 little endian, row by row, compressed by gzip on the way."""
    return _packed(results.preview / "slices" / f"{index:04d}.hu.gz")


@router.get(
    "/labels/{index}", responses={**problems(), **binary("application/octet-stream", "Labels, uint16, row by row.")}
)
def download_labels(_user: Scrolling, results: Results, index: Index) -> Response:
    """Download the outlines on a slice: the finding's number or 0, uint16 little endian, row by row."""
    return _packed(results.preview / "labels" / f"{index:04d}.labels.gz")


def _why_none(job: Job) -> str:
    if job.state not in ENDED:
        return "The job has no results yet."
    if job.state == JobState.duplicate:
        return "The job that has this study has no results, or none yet; see duplicate_of."
    return "Its results were removed to make room." if job.pruned else "The job has ended without results."


def _json(path: Path) -> Any:
    if not path.is_file():
        raise ProblemRefusal(404, "no-preview", "The job has no slices to show.")
    return json.loads(path.read_bytes())


def _packed(path: Path) -> Response:
    return _file(path, "application/octet-stream", headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})


def _file(path: Path, media_type: str, name: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """A file as it lies on the disk; 404 where it went meanwhile, or never was."""
    try:
        status = path.stat()
    except OSError as error:
        raise ProblemRefusal(404, "no-such-file", "The job has no such file.") from error
    return FileResponse(path, media_type=media_type, filename=name, headers=headers, stat_result=status)
