"""One study of a batch, from where it lies to its row; the same function on this machine, on Ray and in a pod.

A study whose row says that it ended with the same content and the same setup is not read again. Otherwise what an
earlier start left of it goes first, the results appear at once (`lung_nodules.publication`), and the row comes last:
whoever is killed in between leaves a study without a row, which the next start reads anew.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lung_nodules.batch.folders import content_of_files, files_of
from lung_nodules.batch.plan import BatchStudy, Plan
from lung_nodules.batch.row import Row, RowState, describe, read_report, read_row, write_row
from lung_nodules.errors import ExitCode, InputRefusal, Refusal, UsageRefusal
from lung_nodules.execution import Order, execute, read_line_settings
from lung_nodules.publication import writing


@dataclass(frozen=True)
class Outcome:
    """What became of a study in this start."""

    row: Row
    is_new: bool  # False: it had ended before, and was not read


class BatchRefusal(Refusal):
    """A study was not read for a reason that another try may heal."""

    exit_code = ExitCode.INTERNAL_ERROR


def read_study(study: BatchStudy, plan: Plan) -> Outcome:
    """Read one study, unless that was done before.

    Args:
        study: Where it lies.
        plan: How it is read.

    Returns:
        Its row, which lies in the output folder, too. No other refusal and no defect of the line is raised.

    Raises:
        OutputRefusal: ``output-not-written`` where not even the row can be written.
    """
    begun = time.monotonic()
    content = ""
    try:
        content, study_uids = _look(study, plan)
        earlier = read_row(plan.row(study))
        if earlier and is_done(earlier, content, study, plan):
            return Outcome(earlier, is_new=False)
        with writing("The rows", plan.row(study).parent):
            plan.row(study).unlink(missing_ok=True)
        if len(study_uids) > 1:
            raise InputRefusal(
                "several-studies",
                f"The folder holds {len(study_uids)} studies.",
                "Without --by-folder each of them is read.",
            )
        with _opened(study, plan) as folder, _said_into(plan.log(study)):
            _run_line(folder, study, plan)
    except Refusal as refusal:
        return Outcome(note_failure(study, plan, refusal, content, time.monotonic() - begun), is_new=True)
    report = read_report(plan.results(study))
    if report is None:
        lost = BatchRefusal("no-report", "The line ended without a report that can be read.")
        return Outcome(note_failure(study, plan, lost, content, time.monotonic() - begun), is_new=True)
    row = _row_of(study, plan, describe(report), content, time.monotonic() - begun)
    write_row(row, plan.row(study))
    return Outcome(row, is_new=True)


def is_done(row: Row, content: str, study: BatchStudy, plan: Plan) -> bool:
    """Whether a row, with the results that it stands for, is what reading the study again would give."""
    is_same = (row.content_sha256, row.setup_sha256) == (content, plan.setup_sha256)
    return is_same and row.is_final and (plan.results(study) / "report.json").is_file()


def note_failure(study: BatchStudy, plan: Plan, refusal: Refusal, content: str = "", seconds: float = 0.0) -> Row:
    """Leave a report and a row that say why a study was not read; what a process that died has left goes.

    Also for whoever watches over the process that read it, where that one can no longer say so itself.
    """
    from lung_nodules.results import write_failure

    write_failure(refusal, "batch", plan.results(study))
    state = RowState.FAILED if refusal.exit_code is ExitCode.INTERNAL_ERROR or _heals(refusal) else RowState.REFUSED
    what = {"state": state, "code": refusal.code, "sentence": refusal.sentence}
    row = _row_of(study, plan, what, content, seconds)
    write_row(row, plan.row(study))
    return row


def _look(study: BatchStudy, plan: Plan) -> tuple[str, frozenset[str]]:
    """What the study holds now: its content, and the Study Instance UIDs in it."""
    if plan.archive is not None:
        from lung_nodules.batch.archived import content_of_archived

        return content_of_archived(study, plan), frozenset()
    if study.folder and not study.folder.is_dir():
        raise UsageRefusal("input-not-found", "The folder of this study is no longer there.")
    return content_of_files(files_of(study), read_line_settings(plan.config_file))


@contextmanager
def _opened(study: BatchStudy, plan: Plan) -> Iterator[Path]:
    """A folder that holds the study and nothing else, for as long as it is read."""
    if plan.archive is not None:
        from lung_nodules.batch.archived import fetched

        with fetched(study, plan) as folder:
            yield folder
    elif study.folder:
        yield study.folder
    else:
        with tempfile.TemporaryDirectory(prefix="lung-nodules-batch-") as scratch:
            for number, path in enumerate(study.files):
                _place(path, Path(scratch, f"{number:06d}"))
            yield Path(scratch)


def _place(path: Path, target: Path) -> None:
    """A second name for a file where both are on one filesystem, else a copy: the line follows no symbolic links."""
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


@contextmanager
def _said_into(log: Path) -> Iterator[None]:
    """Send standard error into a file of the study, that of compiled libraries, too.

    Raises:
        OutputRefusal: ``output-not-written`` where the file cannot be opened.
    """
    with writing("The log", log.parent):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("wb")
    before = os.dup(2)
    try:
        with file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _run_line(folder: Path, study: BatchStudy, plan: Plan) -> None:
    from lung_nodules.pipeline import run

    results = plan.results(study)
    execute(Order(folder, results, plan.models_folder, plan.config_file, failure_folder=results), run)


def _heals(refusal: Refusal) -> bool:
    return bool(getattr(refusal, "heals", False)) or refusal.exit_code is ExitCode.OUTPUT_NOT_WRITTEN


def _row_of(study: BatchStudy, plan: Plan, what: Mapping[str, object], content: str, seconds: float) -> Row:
    return Row.model_validate(
        {
            "study": study.name,
            "source": study.source,
            "study_instance_uid": study.study_instance_uid or "",
            "seconds": round(seconds, 1),
            "content_sha256": content,
            "setup_sha256": plan.setup_sha256,
            **what,
        }
    )
