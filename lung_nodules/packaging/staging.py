"""A clean copy of the committed application: what a MAP needs, and nothing that only lies about in the working tree."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lung_nodules.packaging.licences import write_licences
from lung_nodules.packaging.tools import PackagingRefusal, read_tool

NOT_IN_THE_LINE = ("forest",)  # models that stand beside the others for comparison, and that no image needs
REPOSITORY = Path(__file__).resolve().parents[2]

APPLICATION = ("__main__.py", "app", "operators", "lung_nodules", "app.yaml", "requirements.txt")
PAPERS = ("README.md", "CHANGELOG.md", "LICENSE")
BUILD_FILES = ("deploy/map", "deploy/map.Dockerfile")


@dataclass(frozen=True)
class StagedApplication:
    """The folders of a staged copy."""

    folder: Path  # holds all of it, and is the context of `deploy/map.Dockerfile`
    application: Path  # what becomes /opt/holoscan/app
    models: Path  # one folder a model and no loose file: becomes /opt/holoscan/models
    docs: Path  # becomes /opt/holoscan/docs
    build_files: Path  # Dockerfile, entry script, the packager's source manifest
    commit: str  # full hash of what was copied
    is_clean: bool  # False: the working tree has changes to the application that are not in the copy


def stage_application(repository: Path, folder: Path) -> StagedApplication:
    """Copy HEAD of a checkout into a folder.

    Args:
        repository: The checkout.
        folder: Is emptied first where an earlier copy lies there.

    Raises:
        PackagingRefusal: ``git-missing``, ``not-a-checkout``, ``not-copied``; ``folder-in-use`` where the folder holds
            something else.
    """
    commit = _head(repository)
    staged = StagedApplication(
        folder=folder,
        application=folder / "app",
        models=folder / "models",
        docs=folder / "docs",
        build_files=folder / "deploy",
        commit=commit,
        is_clean=_is_clean(repository),
    )
    _empty(staged)
    with TemporaryDirectory(dir=_made(folder)) as scratch:
        copy = Path(scratch)
        _copy_head(repository, copy)
        for name in APPLICATION:
            (copy / name).rename(_made(staged.application) / name)
        for source, target in ((copy / "models", staged.models), (copy / "docs", staged.docs)):
            source.rename(target)
        (copy / "deploy").rename(staged.build_files)
        for name in PAPERS:
            (copy / name).rename(staged.docs / name)
    write_licences(staged.application / "requirements.txt", staged.docs / "third-party")
    return staged


def _head(repository: Path) -> str:
    try:
        return read_tool(["git", "-C", repository, "rev-parse", "--verify", "HEAD"], "not-a-checkout").strip()
    except FileNotFoundError:
        raise PackagingRefusal("git-missing", "The git command was not found.") from None
    except PackagingRefusal as refusal:
        raise PackagingRefusal(
            "not-a-checkout", "A package is made of what is committed, and there is no git checkout with a commit here."
        ) from refusal


def _is_clean(repository: Path) -> bool:
    paths = (*APPLICATION, *PAPERS, *BUILD_FILES, "models", "docs")
    return not read_tool(["git", "-C", repository, "status", "--porcelain", "--", *paths], "not-a-checkout").strip()


def _copy_head(repository: Path, folder: Path) -> None:
    archive = folder / "head.tar"
    paths = (*APPLICATION, *PAPERS, *BUILD_FILES, "models", "docs")
    left_out = [f":(exclude)models/{name}" for name in NOT_IN_THE_LINE]
    command: list[str | Path] = [
        "git",
        "-C",
        repository,
        "archive",
        "--output",
        archive,
        "HEAD",
        "--",
        *paths,
        *left_out,
    ]
    read_tool(command, "not-a-checkout")
    read_tool(["tar", "-C", folder, "-xf", archive], "not-copied")
    archive.unlink()


def _empty(staged: StagedApplication) -> None:
    """Remove an earlier copy, and nothing else."""
    ours = {"app", "models", "docs", "deploy", "host"}
    foreign = {path.name for path in staged.folder.iterdir()} - ours if staged.folder.is_dir() else set()
    if foreign or staged.folder.is_file():
        raise PackagingRefusal("folder-in-use", f"{staged.folder} holds something else than a staged application.")
    if staged.folder.is_dir():
        shutil.rmtree(staged.folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
