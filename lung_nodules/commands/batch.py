"""`lung-nodules batch`: a cohort on this machine, on Ray, or a part of it in a pod."""

from __future__ import annotations

import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lung_nodules.errors import UsageRefusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lung_nodules.batch.on_ray import RayOrder
    from lung_nodules.batch.plan import BatchStudy
    from lung_nodules.batch.run import BatchResult, Runner
    from lung_nodules.progress import Progress
    from lung_nodules.settings import Settings

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"  # of a pod of an indexed job; counts from 0


class Where(StrEnum):
    """Who reads the studies."""

    HERE = "here"
    RAY = "ray"


def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="QUERY|FOLDER",
            help="A folder with studies; or, with --archive, what to look for in it, such as "
            "\"date=20240101-20241231 description='*chest*'\".",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="For results, rows and the table.")
    ] = Path("out/batch"),
    models_folder: Annotated[
        Path,
        typer.Option("--model", "-m", envvar="HOLOSCAN_MODEL_PATH", metavar="FOLDER", help="Holds one folder a model."),
    ] = Path("models"),
    config_file: Annotated[
        Path | None,
        typer.Option("--config", "-c", envvar="HOLOSCAN_CONFIG_PATH", metavar="FILE", help="Settings of the line."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-n", min=1, max=1024, help="Studies at a time.")] = 1,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help=f"Only this part of the cohort; without I/, as N, the I of {INDEX_VARIABLE}."),
    ] = None,
    by_folder: Annotated[
        bool, typer.Option("--by-folder", help="Each sub-folder is a study: no look at all headers first.")
    ] = False,
    time_limit_s: Annotated[float | None, typer.Option("--time-limit-s", min=1, help="For one study.")] = None,
    archive: Annotated[
        str | None,
        typer.Option(
            "--archive", "-a", metavar="NAME", help="A name in the file of --archives, or a DICOMweb server's address."
        ),
    ] = None,
    archives_file: Annotated[
        Path | None,
        typer.Option(
            "--archives",
            envvar="LUNG_NODULES_SERVICE_CONFIG",
            metavar="FILE",
            help="YAML with the section `archives`, such as the service's settings.",
        ),
    ] = None,
    on: Annotated[Where, typer.Option(help="ray: needs the extra `ray`.")] = Where.HERE,
    ray_address: Annotated[
        str | None,
        typer.Option(envvar="RAY_ADDRESS", metavar="ADDRESS", help="Of a cluster; else one on this machine."),
    ] = None,
    gpus_per_study: Annotated[float, typer.Option(min=0, max=16, help="With --on ray; fractions share a GPU.")] = 0.0,
) -> None:
    """Read a cohort: resumable, a refused or failed study is a row and stops nobody; ends with a table.

    Exit code 0: each study has ended (refusals included); 1: some failed, and another start tries them again; 2 to 5:
    the batch as a whole could not be done, as of `lung-nodules exec`.
    """
    from lung_nodules.batch.on_ray import RayOrder
    from lung_nodules.batch.plan import Plan, Shard
    from lung_nodules.batch.run import run_batch
    from lung_nodules.execution import digest_setup, read_line_settings, set_up_logging
    from lung_nodules.networks.record import load_models
    from lung_nodules.progress import choose_progress
    from lung_nodules.publication import check_output_folder

    part = Shard.parse(_with_index(shard)) if shard else Shard()
    check_output_folder(output)
    set_up_logging("WARN" if sys.stderr.isatty() else "INFO")
    settings, progress = read_line_settings(config_file), choose_progress()
    load_models(models_folder)  # one that is missing or altered is better told before the first study than by each
    plan = Plan(
        output_folder=output.absolute(),
        models_folder=models_folder.absolute(),
        config_file=config_file.absolute() if config_file else None,
        setup_sha256=digest_setup(models_folder, settings),
        time_limit_s=time_limit_s,
    )
    studies: Sequence[BatchStudy]
    if archive:
        from lung_nodules.batch.archived import find_studies, with_archive

        plan = with_archive(plan, archive, archives_file)
        studies = find_studies(source, plan)
    else:
        studies = _find_in_folder(Path(source), by_folder, settings, progress)
    runner = _choose(on, workers, RayOrder(ray_address, workers, gpus_per_study=gpus_per_study))
    _stop_as_interrupt()
    _tell(run_batch(studies, plan, runner, progress, part))


def _with_index(shard: str) -> str:
    """Complete a bare N by the index that Kubernetes gives to a pod of an indexed job.

    Raises:
        UsageRefusal: ``bad-shard`` where there is none.
    """
    if "/" in shard:
        return shard
    index = os.environ.get(INDEX_VARIABLE)
    if index is None:
        raise UsageRefusal("bad-shard", f"--shard {shard} needs {INDEX_VARIABLE}, which is not set; give I/N.")
    return f"{index}/{shard}"


def _find_in_folder(folder: Path, by_folder: bool, settings: Settings, progress: Progress) -> Sequence[BatchStudy]:
    from lung_nodules.batch.folders import group_by_headers, list_folders

    if not folder.is_dir():
        raise UsageRefusal("input-not-found", f"There is no folder {folder}.", "A query needs --archive.")
    root = folder.absolute()
    return list_folders(root) if by_folder else group_by_headers(root, settings, progress)


def _choose(on: Where, workers: int, ray_order: RayOrder) -> Runner:
    if on is Where.RAY:
        from lung_nodules.batch.on_ray import read_on_ray

        return lambda studies, plan, note: read_on_ray(studies, plan, ray_order, note)
    from lung_nodules.batch.workers import read_with_processes

    return lambda studies, plan, note: read_with_processes(studies, plan, workers, note)


def _stop_as_interrupt() -> None:
    """Let a stop (SIGTERM) end the processes and write the table, as Ctrl-C does."""

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _tell(result: BatchResult) -> None:
    from rich.console import Console

    from lung_nodules.batch.table import summary, terminal_table

    Console().print(terminal_table(result.rows))
    typer.echo(summary(result.rows, result.num_new))
    typer.echo(f"Table: {result.tables[0]}")
    raise typer.Exit(1 if result.num_failed else 0)
