"""The command line of the application: the options of `lung-nodules exec`, run through the graph."""

from __future__ import annotations

import typer

from app.holoscan import prepare_holoscan
from lung_nodules.cli import EPILOG, HELP_OPTIONS, line_command
from lung_nodules.execution import Task


def main() -> None:
    """Parse the command line, run the graph, and end with the documented exit code."""
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=HELP_OPTIONS)
    command.command(epilog=EPILOG, help="Read one chest CT study with the MONAI Deploy graph.")(
        line_command(_run_graph)
    )
    command(prog_name="python .")


def _run_graph(task: Task) -> None:
    prepare_holoscan()
    from app.application import run

    run(task)
