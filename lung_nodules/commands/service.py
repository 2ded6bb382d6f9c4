"""`lung-nodules serve`, `worker` and `watch`: the service as a whole, or one process of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lung_nodules.service.settings import ServiceSettings


class Part(StrEnum):
    """What `serve` can start alone."""

    DATABASE = "database"
    API = "api"
    WORKERS = "workers"
    WATCH = "watch"
    LISTENER = "listener"


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="LUNG_NODULES_SERVICE_CONFIG", metavar="FILE", help="Settings of the service, YAML."
    ),
]
DataOption = Annotated[Path | None, typer.Option("--data", metavar="FOLDER", help="For uploads, cache and results.")]
ModelsOption = Annotated[Path | None, typer.Option("--model", "-m", metavar="FOLDER", help="Holds one folder a model.")]


def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address of the API.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API.", show_default="8080")] = None,
    data: DataOption = None,
    models: ModelsOption = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Studies read at a time.", show_default="1")] = None,
    demo: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="A study that an empty service begins with: DICOM files.",
        ),
    ] = None,
    only: Annotated[list[Part] | None, typer.Option(help="Start this part alone; may be repeated.")] = None,
) -> None:
    """Start the service: queue, workers, API and page, on this machine's own address unless told otherwise."""
    from lung_nodules.service.supervisor import supervise

    given = {"host": host, "port": port, "workers": None if workers is None else {"count": workers}}
    settings = _read_settings(config, data, models, given)
    supervise(settings, frozenset(part.value for part in only or Part), demo)


def worker(config: ConfigOption = None, data: DataOption = None, models: ModelsOption = None) -> None:
    """Read studies from the queue of a service, here or on another machine, until told to stop."""
    from lung_nodules.service.jobs.worker import run_worker

    run_worker(_read_settings(config, data, models, {}))


def watch(config: ConfigOption = None, data: DataOption = None, models: ModelsOption = None) -> None:
    """Follow an archive's changes and queue each study that is complete, once."""
    from lung_nodules.service.jobs.watcher import run_watcher

    run_watcher(_read_settings(config, data, models, {}))


def _read_settings(
    config: Path | None, data: Path | None, models: Path | None, given: dict[str, Any]
) -> ServiceSettings:
    from lung_nodules.execution import set_up_logging
    from lung_nodules.service.settings import read_service_settings
    from lung_nodules.service.supervisor import end_with_supervisor

    overrides = {**given, "data_folder": data, "models_folder": models}
    settings = read_service_settings(config, {name: value for name, value in overrides.items() if value is not None})
    set_up_logging(settings.log_level)
    end_with_supervisor()
    return settings
