"""`lung-nodules fetch` and `lung-nodules push`: studies out of an archive, results into it."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lung_nodules.archive.protocol import Archive, PushOutcome, StudyEntry, StudyQuery

_GIB = 1024**3
_NOT_TO_PUSH = ("push-nothing", "bad-uid")  # what was given is at fault, and no archive was asked

ArchiveOption = Annotated[
    str,
    typer.Option(
        "--archive",
        "-a",
        metavar="NAME",
        help="A name in the configuration, the address of a DICOMweb server, or a folder.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="LUNG_NODULES_SERVICE_CONFIG",
        metavar="FILE",
        dir_okay=False,
        help="YAML whose section `archives` names archives.",
    ),
]


def fetch(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="One folder a study is made in it.")],
    archive: ArchiveOption,
    study: Annotated[str, typer.Option(metavar="UID", help="Study Instance UID.")] = "",
    patient_id: Annotated[str, typer.Option("--patient", metavar="ID", help="Patient ID.")] = "",
    first_date: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Studies of this day or later.")
    ] = None,
    last_date: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Studies of this day or earlier.")
    ] = None,
    modality: Annotated[str, typer.Option(help="That the study holds.")] = "CT",
    description: Annotated[str, typer.Option(metavar="TEXT", help="Of the study; * and ? are wildcards.")] = "",
    lists: Annotated[bool, typer.Option("--list", help="Say which studies match, and fetch none.")] = False,
    config_file: ConfigOption = None,
    line_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings of the line, by which the series is chosen.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Cache. [default: in the user's cache folder]")
    ] = None,
    cache_gib: Annotated[float, typer.Option(min=0, help="Size of the cache; 0 for none.")] = 20.0,
) -> None:
    """Fetch what is read of each study that matches: the one series that the line chooses."""
    from lung_nodules.archive.config import choose_archive
    from lung_nodules.archive.opening import open_archive
    from lung_nodules.archive.protocol import StudyQuery
    from lung_nodules.publication import check_output_folder

    query = StudyQuery(
        study_instance_uid=study,
        patient_id=patient_id,
        first_date=first_date.date() if first_date else None,
        last_date=last_date.date() if last_date else None,
        modality="" if study else modality,
        description=description,
    )
    name, settings = choose_archive(archive, config_file)
    if not lists:
        check_output_folder(output)
    with open_archive(settings, name) as opened:
        entries = _find(opened, query)
        if lists:
            for entry in entries:
                typer.echo(_line_of(entry))
            return
        failed = _fetch_all(
            opened, entries, output, line_config, _cache_folder(cache) if cache_gib else None, cache_gib
        )
    raise typer.Exit(failed)


def push(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", exists=True, help="DICOM files, or their folders.")],
    archive: ArchiveOption,
    config_file: ConfigOption = None,
) -> None:
    """Store DICOM files, such as the results of a run; an object counts when a query finds it afterwards."""
    from lung_nodules.archive.config import choose_archive
    from lung_nodules.archive.opening import open_archive
    from lung_nodules.archive.refusals import ArchiveRefusal, PushRefusal

    name, settings = choose_archive(archive, config_file)
    files = _dicom_files(paths)
    try:
        with open_archive(settings, name) as opened:
            outcome = opened.push(files)
    except ArchiveRefusal as refusal:
        if refusal.code in _NOT_TO_PUSH:
            raise
        raise PushRefusal(refusal.code, refusal.sentence, refusal.advice) from refusal
    _say_outcome(outcome)


def _find(archive: Archive, query: StudyQuery) -> list[StudyEntry]:
    from lung_nodules.archive.refusals import ArchiveRefusal

    entries = sorted(archive.find_studies(query), key=lambda entry: entry.study_instance_uid)
    if not entries:
        raise ArchiveRefusal("study-not-found", "No study matches.")
    return entries


def _line_of(entry: StudyEntry) -> str:
    """A study for the eyes of who asked: no name, no ID."""
    count = "?" if entry.num_instances is None else entry.num_instances
    return f"{entry.study_instance_uid}  {entry.study_date or '':10}  {'/'.join(entry.modalities):8}  {count} instances"


def _fetch_all(
    archive: Archive,
    entries: list[StudyEntry],
    output: Path,
    line_config: Path | None,
    cache_folder: Path | None,
    cache_gib: float,
) -> int:
    """Fetch study by study; the exit code: that of the first one that failed.

    Raises:
        OutputRefusal: ``output-not-written``, at the first study that the disk does not take.
    """
    from lung_nodules.archive.cache import InstanceCache
    from lung_nodules.archive.fetching import fetch_study
    from lung_nodules.archive.naming import hash_uid
    from lung_nodules.errors import OutputRefusal, Refusal
    from lung_nodules.execution import read_line_settings, say_refusal
    from lung_nodules.progress import choose_progress
    from lung_nodules.publication import writing

    settings = read_line_settings(line_config)
    cache = None
    if cache_folder:
        with writing("The cache", cache_folder):
            cache = InstanceCache(cache_folder, int(cache_gib * _GIB))
    failed = 0
    for entry in entries:
        uid = entry.study_instance_uid
        folder = output / hash_uid(uid)
        try:
            with writing("The study", folder):
                fetched = fetch_study(archive, uid, cache, folder, settings, choose_progress())
        except OutputRefusal:
            raise
        except Refusal as refusal:
            typer.echo(f"{uid}  {refusal.code}", err=True)
            say_refusal(refusal)
            failed = failed or int(refusal.exit_code)
        else:
            typer.echo(f"{uid}  {fetched.num_instances} instances in {folder}")
    return failed


def _cache_folder(wanted: Path | None) -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return wanted or (Path(home) if home else Path.home() / ".cache") / "lung-nodules" / "instances"


def _dicom_files(paths: list[Path]) -> list[Path]:
    """The files, and the DICOM files below the folders."""
    files: list[Path] = []
    for path in paths:
        below = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else []
        files.extend(each for each in below if _is_dicom(each))
        files.extend([path] if path.is_file() else [])
    return files


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _say_outcome(outcome: PushOutcome) -> None:
    from lung_nodules.archive.refusals import PushRefusal

    typer.echo(f"{outcome.num_confirmed} objects stored and found again.")
    if outcome.is_complete:
        return
    counts = Counter(failure.code for failure in outcome.failures)
    code, _ = counts.most_common(1)[0]
    told = ", ".join(f"{number} {each}" for each, number in sorted(counts.items()))
    raise PushRefusal(code, f"{len(outcome.failures)} objects did not arrive: {told}.")
