"""`lung-nodules train compare`: the U-Net's variants by Dice, parameters and milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lung_nodules.commands.places import require_cohort
from lung_nodules.publication import check_output_folder

if TYPE_CHECKING:
    from lung_nodules.networks.unet import Variant


def compare(
    crops: Annotated[Path, typer.Option(metavar="FOLDER", help="Nodule crops: nodules.csv and its .npz files.")],
    scans: Annotated[Path, typer.Option(metavar="FOLDER", help="Whole scans of patients who train.")],
    run: Annotated[
        Path, typer.Option(metavar="FOLDER", help="A folder a variant: checkpoint, log, model; and comparison.md.")
    ] = Path("runs/compare"),
    variants: Annotated[
        list[str] | None, typer.Option("--variant", metavar="NAME", help="Repeat for more. [default: all]")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of each variant, instead of the recipe's.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the outliner's recipe.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from checkpoints where there are some.")] = False,
) -> None:
    """Teach each variant of the outliner on the same split, and print Dice, parameters and milliseconds as a table."""
    names = _known(variants or [])
    require_cohort(crops, scans)
    check_output_folder(run)
    from lung_nodules.progress import choose_progress
    from lung_nodules.settings import RuntimeSettings
    from lung_nodules.training.comparison import as_markdown, compare_variants, write_comparison
    from lung_nodules.training.segmentation import SegmentationTraining
    from lung_nodules.training.workshop import Workshop

    settings = SegmentationTraining().changed([*(assignments or []), *([f"loop.steps={steps}"] if steps else [])])
    for name in names:
        settings.changed([f"variant={name}"])
    workshop = Workshop(crops, scans, run, run, resume)
    rows = []
    for row in compare_variants(names, workshop, settings, RuntimeSettings(), choose_progress()):
        rows.append(row)
        write_comparison(rows, run / "comparison.md")
    typer.echo(f"{as_markdown(rows)}\n\nMilliseconds: {rows[0].runtime}.")


def _known(names: list[str]) -> list[Variant]:
    from typing import get_args

    from lung_nodules.errors import UsageRefusal
    from lung_nodules.networks.unet import Variant

    known: tuple[Variant, ...] = get_args(Variant)
    for name in names:
        if name not in known:
            raise UsageRefusal("bad-usage", f"There is no variant {name!r}; there are {', '.join(known)}.")
    return [name for name in known if name in names or not names]
