"""`lung-nodules evaluate`: how good the models are on a cohort, as one report and as JSON."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lung_nodules.execution import set_up_logging
from lung_nodules.publication import check_output_folder

if TYPE_CHECKING:
    from lung_nodules.evaluation.evaluate import Evaluation


class CohortKind(StrEnum):
    """What a cohort folder holds."""

    CROPS = "crops"
    SCANS = "scans"


def evaluate(
    cohort: Annotated[
        tuple[CohortKind, Path],
        typer.Option(metavar="KIND FOLDER", help="`crops FOLDER` (nodules.csv) or `scans FOLDER` (reference.json)."),
    ],
    lungs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With crops: whole scans to paste them into, for detection."),
    ] = None,
    models_folder: Annotated[
        Path,
        typer.Option(
            "--models",
            "--model",
            "-m",
            envvar="HOLOSCAN_MODEL_PATH",
            metavar="FOLDER",
            help="Holds one folder a model.",
        ),
    ] = Path("models"),
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Every figure, with its interval and n.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="For report.html, its pictures and data.")
    ] = Path("out/evaluation"),
    split: Annotated[
        Literal["test", "validation", "rule-test", "all"],
        typer.Option(
            help="Whose patients: test takes all but those listed as training or validation; rule-test goes by the "
            "hash rule too, for models that learned from patients in no list."
        ),
    ] = "test",
    folds: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With scans: fold0.csv ... (cohort folds --out); --models then holds fold0, fold1 ...",
        ),
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Settings of the line; else the defaults.")
    ] = None,
) -> None:
    """Judge the models on a cohort: figures with 95 % intervals, one HTML report, its pictures and JSON."""
    set_up_logging("INFO")
    check_output_folder(output)
    from lung_nodules.errors import UsageRefusal
    from lung_nodules.evaluation.cohort_reading import Side
    from lung_nodules.evaluation.evaluate import evaluate_crops, evaluate_scans
    from lung_nodules.evaluation.folds import evaluate_folds
    from lung_nodules.evaluation.html_report import write_json, write_report
    from lung_nodules.progress import choose_progress
    from lung_nodules.settings import Settings, read_settings

    kind, folder = cohort
    settings = read_settings(config_file) if config_file else Settings()
    side, progress = Side(split), choose_progress()
    if folds and (kind is CohortKind.CROPS or lungs):
        raise UsageRefusal("folds-without-scans", "Folds are judged on whole scans: --cohort scans FOLDER alone.")
    if kind is CohortKind.CROPS:
        done = evaluate_crops(folder, lungs, models_folder, side, settings, progress)
    elif folds:
        done = evaluate_folds(folder, folds, models_folder, settings, progress)
    elif lungs:
        raise UsageRefusal("lungs-with-scans", "Scans have lungs of their own; --lungs goes with --cohort crops.")
    else:
        done = evaluate_scans(folder, models_folder, side, settings, progress)
    if json_file:
        write_json(json_file, done.document())
    write_report(done, output)
    _print(done, output)


def _print(done: Evaluation, output: Path) -> None:
    from lung_nodules.evaluation.html_report import figure_text

    typer.echo(done.about["patients"])
    for section in ("segmentation", "classification", "baseline", "detection"):
        for path, figure in done.book.under(section):
            typer.echo(f"{section}/{path}: {figure_text(figure)}")
    typer.echo(f"Report: {output / 'report.html'}")
