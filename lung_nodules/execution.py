"""One run from order to exit code: what `python .` and `lung-nodules exec` have in common.

Both hand their *line* (the graph, or the pipeline) to `execute`, which is the one place where a refusal or a defect
becomes a sentence, an exit code and a report that says which stage could not go on, and why.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lung_nodules import __version__, publication
from lung_nodules.errors import ExitCode, InternalError, Refusal, UsageRefusal
from lung_nodules.progress import choose_progress
from lung_nodules.timings import Stopwatch

if TYPE_CHECKING:
    from lung_nodules.networks.opened import Networks
    from lung_nodules.settings import Settings

logger = logging.getLogger(__name__)


OWN_CONFIG_FILE = Path(__file__).resolve().parents[1] / "app.yaml"
BEFORE_THE_LINE = ("order", "networks")  # stages that have not looked at the input yet


@dataclass(frozen=True)
class Order:
    """What one run is asked to do."""

    input_folder: Path
    output_folder: Path
    models_folder: Path
    config_file: Path | None = None  # None: the app.yaml beside the package, or the defaults where there is none
    log_level: str = "INFO"  # DEBUG, INFO, WARN, ERROR or CRITICAL
    failure_folder: Path | None = None  # for the report of a run that fails; None: the output folder


@dataclass(frozen=True)
class Task:
    """An order that was checked: everything that a line needs."""

    input_folder: Path
    output_folder: Path
    networks: Networks
    settings: Settings
    watch: Stopwatch


Line = Callable[[Task], None]


def execute(order: Order, line: Line) -> ExitCode:
    """Run `line` on what is ordered, and say on standard error in one sentence how it ended.

    Args:
        order: Folders, settings file and log level.
        line: Reads the task's input folder and publishes results into its output folder.

    Returns:
        The exit code of the process. With `ExitCode.RESULTS_WRITTEN` the results lie in the output folder. Where a
        stage of the line could not go on, a report that names it lies there in their place. Where nothing was read
        yet, or nothing can be written, the output folder is as it was. An order with a `failure_folder` has the
        report of every failure there, and none in the output folder; what an earlier run left in both is taken away
        before the line begins, so that a run that is killed leaves nothing either.
    """
    set_up_logging(order.log_level)
    watch = Stopwatch(choose_progress())
    try:
        _run(order, line, watch)
    except Exception as error:  # the edge: a refusal, or a defect of ours, becomes one sentence and an exit code
        logger.debug("the run failed", exc_info=True)
        stage = _stage_at_fault(watch)
        refusal = error if isinstance(error, Refusal) else InternalError(error, stage)
        _leave_record(refusal, stage, order)
        say_refusal(refusal)
        return refusal.exit_code
    _say(f"Results are in {order.output_folder}")
    return ExitCode.RESULTS_WRITTEN


def end_on_signals() -> None:
    """Let SIGTERM and SIGINT end this process at once, with nothing left behind, whatever it is doing.

    A thread waits for them, because the main thread may be deep in compiled code (the graph's scheduler, a network)
    where Python's own handlers do not run. Call it before the libraries that start threads are imported: threads
    inherit the mask. The exit code is 128 plus the signal's number.
    """
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def wait() -> None:
        number = signal.sigwait(signals)
        publication.abandon()
        _say(f"Stopped by {signal.Signals(number).name}.")
        os._exit(128 + number)

    threading.Thread(target=wait, name="signals", daemon=True).start()


def say_refusal(refusal: Refusal) -> None:
    """Write what a user should know about a refusal to standard error: sentence, advice and, in brackets, its code."""
    _say(" ".join(filter(None, (refusal.sentence, refusal.advice, f"[{refusal.code}]"))))


def set_up_logging(log_level: str) -> None:
    """Send our own log lines from `log_level` on to standard error, and of other libraries only the errors.

    Other libraries may name values of the headers in what they log or warn of, so theirs never follow our level.
    """
    warnings.simplefilter("ignore")
    level = logging.getLevelName("WARNING" if log_level == "WARN" else log_level)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr, level=logging.ERROR, force=True
    )
    logging.getLogger("lung_nodules").setLevel(level)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it sets a level of its own, and its warnings quote URLs


def _run(order: Order, line: Line, watch: Stopwatch) -> None:
    task = _prepare(order, watch)
    if order.failure_folder is not None:
        _withdraw_earlier(task.output_folder, order.failure_folder)
    earlier = _identity(task.output_folder)
    line(task)
    if _identity(task.output_folder) in (None, earlier):
        raise RuntimeError("the line ended without results")


def _withdraw_earlier(*folders: Path) -> None:
    """Take away what an earlier run left, so that nobody takes it for this one's, should this one be killed.

    That is for hosts that judge a run by its folders (those that give a failure folder); a person at a terminal keeps
    the earlier results until there are new ones.
    """
    from lung_nodules.results import remove_results

    for folder in folders:
        remove_results(folder)


def _stage_at_fault(watch: Stopwatch) -> str:
    if watch.under_way:
        return watch.under_way
    ended = list(watch.seconds)
    return f"after {ended[-1]}" if ended else "order"


def _leave_record(refusal: Refusal, stage: str, order: Order) -> None:
    """Leave a report of the failure, and no earlier results that could be taken for this run's.

    Before the input was read, and where the output cannot be written, the output folder stays as it was.
    """
    replaces = stage not in BEFORE_THE_LINE and refusal.exit_code is not ExitCode.OUTPUT_NOT_WRITTEN
    record_folder = order.failure_folder or (order.output_folder if replaces else None)
    try:
        from lung_nodules.results import remove_results, write_failure

        if replaces and order.failure_folder:
            remove_results(order.output_folder)
        if record_folder:
            write_failure(refusal, stage, record_folder)
    except Exception:  # whatever it is, it must not hide why the run failed
        logger.debug("no record", exc_info=True)
        _say("The report of this failure could not be written.")


def _prepare(order: Order, watch: Stopwatch) -> Task:
    """Check all that can be checked before anything is read, and open the networks."""
    if not order.input_folder.exists():
        raise UsageRefusal("input-not-found", f"There is no such input folder: {order.input_folder}.")
    publication.check_output_folder(order.output_folder)
    settings = read_line_settings(order.config_file)
    with watch.stage("networks"):
        from lung_nodules.networks.opened import open_networks
        from lung_nodules.networks.record import load_models

        networks = open_networks(load_models(order.models_folder), settings.runtime)
    return Task(order.input_folder.absolute(), order.output_folder.absolute(), networks, settings, watch)


def read_line_settings(config_file: Path | None) -> Settings:
    """The settings of the line: of a file, else of the app.yaml beside the package, else the defaults.

    Raises:
        UsageRefusal: ``bad-settings``.
    """
    from lung_nodules.settings import Settings, read_settings

    if config_file is not None:
        return read_settings(config_file)
    return read_settings(OWN_CONFIG_FILE) if OWN_CONFIG_FILE.is_file() else Settings()


def digest_setup(models_folder: Path, settings: Settings) -> str:
    """SHA-256 over all that may change a result but the study: models by their records, settings of the line, software.

    Raises:
        ModelRefusal: A model is missing.
    """
    from lung_nodules.networks.record import KINDS, read_record
    from lung_nodules.stages.identifiers import digest_settings, digest_text

    records = [read_record(models_folder / kind).model_dump_json() for kind in KINDS]
    return digest_text([*records, digest_settings(settings), __version__])


def _identity(output_folder: Path) -> tuple[int, int] | None:
    """What tells one run's report from another's; None when there is no report."""
    try:
        status = (output_folder / publication.LAST_NAME).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
