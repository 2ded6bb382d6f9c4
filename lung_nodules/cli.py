"""The command line, `lung-nodules`: parses, calls, prints.

Heavy libraries are imported inside the commands, so that help answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lung_nodules import __version__
from lung_nodules.commands.archive import fetch, push
from lung_nodules.commands.batch import batch
from lung_nodules.commands.cohort import cohort
from lung_nodules.commands.compare import compare
from lung_nodules.commands.evaluate import evaluate
from lung_nodules.commands.measured import train_forest, train_fusion
from lung_nodules.commands.places import existing_folder, require_cohort
from lung_nodules.commands.service import serve, watch, worker
from lung_nodules.errors import Refusal
from lung_nodules.execution import Line, Order, Task, end_on_signals, execute, say_refusal, set_up_logging
from lung_nodules.publication import check_output_folder

EPILOG = "Research use only. Not a medical device, not for diagnosis."
Kind = Literal["segmentation", "detection", "classification"]
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help="An open lung-nodule reader for chest CT.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
)


class LogLevel(StrEnum):
    """Levels of `--log-level`."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


InputOption = Annotated[
    Path,
    typer.Option("--input", "-i", envvar="HOLOSCAN_INPUT_PATH", metavar="FOLDER", help="DICOM files of one study."),
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", envvar="HOLOSCAN_OUTPUT_PATH", metavar="FOLDER", help="For the results.")
]
ModelsOption = Annotated[
    Path,
    typer.Option("--model", "-m", envvar="HOLOSCAN_MODEL_PATH", metavar="FOLDER", help="Holds one folder a model."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="HOLOSCAN_CONFIG_PATH",
        metavar="FILE",
        help="Settings; by default the app.yaml beside.",
    ),
]
FailureOption = Annotated[
    Path | None,
    typer.Option(
        "--failure",
        envvar="LUNG_NODULES_FAILURE_PATH",
        metavar="FOLDER",
        help="For the report of a run that fails; by default the output folder.",
    ),
]
LogLevelOption = Annotated[
    LogLevel,
    typer.Option("--log-level", "-l", case_sensitive=False, metavar="LEVEL", help="DEBUG shows where an error arose."),
]


def line_command(line: Line) -> Callable[..., None]:
    """Make the command that runs `line`: the options are the same for the graph and the pipeline."""

    def command(
        input_folder: InputOption = Path("input"),
        output_folder: OutputOption = Path("output"),
        models_folder: ModelsOption = Path("models"),
        config_file: ConfigOption = None,
        log_level: LogLevelOption = LogLevel.INFO,
        failure_folder: FailureOption = None,
    ) -> None:
        end_on_signals()
        order = Order(input_folder, output_folder, models_folder, config_file, log_level, failure_folder)
        raise typer.Exit(execute(order, line))

    return command


def _run_pipeline(task: Task) -> None:
    from lung_nodules.pipeline import run

    run(task)


app.command("exec", help="Read one chest CT study: as `python .`, without the start-up of the graph.")(
    line_command(_run_pipeline)
)


@app.command()
def phantom(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="For dicom/ and truth.json.")],
    num_nodules: Annotated[int | None, typer.Option("--nodules", help="Number of nodules.", show_default="7")] = None,
    min_diameter_mm: Annotated[float | None, typer.Option("--min-mm", help="Smallest.", show_default="5")] = None,
    max_diameter_mm: Annotated[float | None, typer.Option("--max-mm", help="Largest.", show_default="25")] = None,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", help="solid, part-solid, ground-glass ...; may be repeated.")
    ] = None,
    num_slices: Annotated[int | None, typer.Option("--slices", help="Slices.", show_default="240")] = None,
    slice_spacing_mm: Annotated[
        float | None, typer.Option("--spacing-mm", help="From slice to slice.", show_default="1.25")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Everything random follows from it.")] = None,
) -> None:
    """Write a synthetic chest CT study with nodules of known place and size."""
    from lung_nodules.phantom import default_phantom_settings, phantom_settings, write_phantom
    from lung_nodules.progress import choose_progress

    chosen: dict[str, Any] = {
        "num_nodules": num_nodules,
        "min_diameter_mm": min_diameter_mm,
        "max_diameter_mm": max_diameter_mm,
        "kinds": kinds or None,
    }
    if all(value is None for value in chosen.values()):
        chosen["nodules"] = default_phantom_settings().nodules
    scan = {"num_slices": num_slices, "slice_spacing_mm": slice_spacing_mm, "seed": seed}
    given = {name: value for name, value in (chosen | scan).items() if value is not None}
    write_phantom(folder, phantom_settings(**given), choose_progress())
    typer.echo(f"Study: {folder / 'dicom'}\nTruth: {folder / 'truth.json'}")


@app.command()
def models(folder: ModelsOption = Path("models")) -> None:
    """List the installed models with their scores and hashes; altered or missing weights are refused."""
    from rich.console import Console

    from lung_nodules.networks.record import list_models
    from lung_nodules.tables import models_table

    listed = list_models(folder)
    Console(highlight=False).print(models_table(listed))
    for model in listed:
        if model.fault:
            raise model.fault


train = typer.Typer(
    help="Teach a network on a cohort and put it into the models folder; first segmentation, then the others.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
)
app.add_typer(train, name="train")


@train.callback()
def _train() -> None:
    set_up_logging("INFO")


app.add_typer(cohort, name="cohort")
app.command()(evaluate)
app.command()(fetch)
app.command()(push)
app.command()(batch)


def _train_command(kind: Kind) -> Callable[..., None]:
    """Make the command that trains one kind of model: the options are the same for all."""

    def command(
        crops: Annotated[Path, typer.Option(metavar="FOLDER", help="Nodule crops: nodules.csv and its .npz files.")],
        scans: Annotated[Path, typer.Option(metavar="FOLDER", help="Whole scans of patients who train.")],
        models_folder: ModelsOption = Path("models"),
        run: Annotated[Path, typer.Option(metavar="FOLDER", help="Checkpoint and log.")] = Path("runs") / kind,
        steps: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
        assignments: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the recipe, e.g. variant=standard."),
        ] = None,
        initial: Annotated[
            Path | None,
            typer.Option(
                metavar="FOLDER",
                help="What training starts from: a model folder or, for the classifier, a pre-trained encoder.",
            ),
        ] = None,
        pretrained: Annotated[
            str | None,
            typer.Option(metavar="ID_OR_FOLDER", help="Classifier with encoder=imagenet: hub id or folder of the ViT."),
        ] = None,
        pseudo: Annotated[
            Path | None,
            typer.Option(
                metavar="FOLDER",
                callback=existing_folder,
                help="Segmentation: unlabelled scans, one folder each; what the models are sure of trains, too.",
            ),
        ] = None,
        resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
        compiled: Annotated[bool, typer.Option("--compile", help="torch.compile: slower start, faster steps.")] = False,
    ) -> None:
        require_cohort(crops, scans)
        check_output_folder(run)
        check_output_folder(models_folder)
        from lung_nodules.progress import choose_progress
        from lung_nodules.surroundings import prepare_imports

        prepare_imports()
        from lung_nodules.training import recipes

        workshop = recipes.Workshop(crops, scans, run, models_folder, resume, initial, pretrained, pseudo)
        given = [*(assignments or []), *([f"loop.steps={steps}"] if steps else []), f"loop.compiled={compiled}"]
        record = recipes.teach(kind, workshop, given, choose_progress())
        if pseudo and record:
            typer.echo(recipes.read_pseudo_counts(run / "pseudo"))

    return command


train.command("segmentation", help="The outliner.")(_train_command("segmentation"))
train.command("detection", help="The finder; starts from the outliner.")(_train_command("detection"))
train.command("classification", help="The Vision Transformer; needs the other two.")(_train_command("classification"))


train.command("compare")(compare)
train.command("forest")(train_forest)
train.command("fusion")(train_fusion)


@train.command("pretraining")
def train_pretraining(
    crops: Annotated[Path, typer.Option(metavar="FOLDER", help="Nodule crops: nodules.csv and its .npz files.")],
    scans: Annotated[Path, typer.Option(metavar="FOLDER", help="Whole scans of patients who train.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the encoder is put.")],
    run: Annotated[Path, typer.Option(metavar="FOLDER", help="Checkpoint and log.")] = Path("runs/pretraining"),
    steps: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the recipe, e.g. encoder=plain."),
    ] = None,
    initial: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="An outliner whose encoder the hybrid starts from.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
) -> None:
    """The Vision Transformer's encoder, from hidden voxels and without labels, for `classification --initial`."""
    require_cohort(crops, scans)
    check_output_folder(run)
    check_output_folder(output)
    from lung_nodules.progress import choose_progress
    from lung_nodules.training import recipes

    workshop = recipes.Workshop(crops, scans, run, output, resume, initial)
    given = [*(assignments or []), *([f"loop.steps={steps}"] if steps else [])]
    recipes.teach_pretraining(workshop, given, choose_progress())


@app.command()
def show(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Output folder of a run.")],
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="truth.json of a phantom.")] = None,
) -> None:
    """Show the findings of a run, beside the nodules that were put in where these are known."""
    from rich.console import Console

    from lung_nodules.tables import results_table

    Console().print(results_table(results, truth))
    for path in sorted(results.iterdir()):
        typer.echo(path)


app.command()(serve)
app.command()(worker)
app.command()(watch)


gateway = typer.Typer(
    help="For a MONAI Deploy site: what its Workflow Manager runs this application with.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
)
app.add_typer(gateway, name="gateway")


@gateway.callback()
def _gateway() -> None: ...


@gateway.command()
def check(
    workflow: Annotated[Path, typer.Argument(metavar="FILE", help="Clinical workflow, JSON.", dir_okay=False)],
    origins: Annotated[
        list[str] | None, typer.Option("--origin", metavar="NAME", help="A source that the gateway knows; repeat.")
    ] = None,
) -> None:
    """Say what a Workflow Manager would refuse in a workflow, and what would go wrong when it runs."""
    from lung_nodules.gateway.check import check_workflow
    from lung_nodules.gateway.workflow import read_workflow

    problems = check_workflow(read_workflow(workflow), origins)
    for problem in problems:
        typer.echo(problem)
    typer.echo(f"{workflow}: {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}")
    raise typer.Exit(1 if problems else 0)


@app.command()
def package(
    tag: Annotated[str | None, typer.Option(metavar="NAME[:TAG]", help="Of the image.")] = None,
    base: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Build deploy/map.Dockerfile from this one instead.")
    ] = None,
    cuda: Annotated[bool, typer.Option("--cuda", help="With --base: PyTorch for NVIDIA GPUs.")] = False,
    user: Annotated[str, typer.Option(metavar="UID:GID", help="With --base: runs the application by default.")] = "0:0",
    network: Annotated[str | None, typer.Option(help="With --base: of the build, e.g. host.")] = None,
    folder: Annotated[Path | None, typer.Option(metavar="FOLDER", help="For the copy. [default: build/map]")] = None,
    stages_only: Annotated[bool, typer.Option("--stage-only", help="Make the clean copy and no image.")] = False,
) -> None:
    """Make a MAP, an image for MONAI Deploy, of what is committed: with monai-deploy's packager, or with --base."""
    from lung_nodules.packaging.ordering import DEFAULT_TAG, PackageOrder, make_package

    where = folder.absolute() if folder else PackageOrder.folder
    make_package(PackageOrder(tag or DEFAULT_TAG, base, cuda, user, network, where, stages_only), typer.echo)


@app.command()
def version() -> None:
    """Print the version."""
    _print_version(True)


def main() -> None:
    """Run the command line; a refusal becomes one sentence and its exit code."""
    try:
        app(prog_name="lung-nodules")
    except Refusal as refusal:
        say_refusal(refusal)
        raise SystemExit(refusal.exit_code) from None


if __name__ == "__main__":
    main()
