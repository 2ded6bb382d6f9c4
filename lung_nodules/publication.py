"""Results appear in the output folder all at once or not at all.

They are written to a hidden *staging folder* on the same filesystem and renamed into place at the end. Where the output
folder is missing or empty, that is one rename of the whole folder, which the kernel does in one piece. Where it holds
other files already, or is a mount that cannot be renamed, the files move one by one: first the DICOM objects, next to
each other, because they refer to each other and a gateway exports those that it finds; `report.json` last, because
results without their report are not complete. Results for a mount are staged in the folder for temporary files and
carried over under names without an ending, for the same gateway, which looks also after a run was killed. Such a run
leaves at most its staging folder, which the next run into the same output folder takes away.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from lung_nodules.errors import OutputRefusal

LAST_NAME = "report.json"

_MARK = ".lung-nodules-"
_moving = threading.Lock()
_open_stagings: set[Path] = set()


def check_output_folder(output_folder: Path) -> None:
    """Refuse early, before anything is computed, what could not be published into later.

    Raises:
        OutputRefusal: ``output-not-writable`` when the folder is a file, or neither it nor its nearest existing
            parent can be written to.
    """
    nearest = next(folder for folder in (output_folder, *output_folder.absolute().parents) if folder.exists())
    if not nearest.is_dir():
        raise OutputRefusal("output-not-writable", f"The output folder cannot be made: {nearest} is a file.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputRefusal("output-not-writable", f"The output folder cannot be written to: {nearest}.")


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """Refuse in one sentence where the filesystem does not let the block write.

    Args:
        what: Begins the sentence, for example ``The results``.
        folder: That is written to; the sentence names it.

    Raises:
        OutputRefusal: ``output-not-written``.
    """
    try:
        yield
    except OSError as error:
        sentence = f"{what} could not be written to {folder}: {error.strerror or type(error).__name__}."
        raise OutputRefusal("output-not-written", sentence) from error


@contextmanager
def publish(output_folder: Path, replaces: Collection[str] = ()) -> Iterator[Path]:
    """Give a staging folder to write to, and move its files into place when the block ends without an exception.

    Args:
        output_folder: Where the results are to appear; made when missing. Other people's files in it stay.
        replaces: Names of earlier results, relative to `output_folder`, that go when they are not written anew.

    Raises:
        OutputRefusal: ``output-not-written`` when the filesystem refuses; nothing partial is left then.
    """
    output = output_folder.resolve()
    with writing("The results", output_folder):
        _remove_remains(output)
        with _staging_folder(lambda: _make_staging_folder(output)) as staging:
            yield staging
            with _moving:
                _move_into_place(staging, output, replaces)


def withdraw(folder: Path, names: Collection[str]) -> None:
    """Take away files that an earlier run has left in a folder, its report first.

    Args:
        folder: Need not exist.
        names: Relative to `folder`; those that lead out of it are passed over.

    Raises:
        OutputRefusal: ``output-not-written`` when the filesystem refuses.
    """
    try:
        with _moving:
            _remove(folder, names)
    except OSError as error:
        sentence = f"The files of an earlier run could not be removed from {folder}: {error.strerror}."
        raise OutputRefusal("output-not-written", sentence) from error


def abandon() -> None:
    """Take away what this process has staged, for a process that is about to end; waits while files move into place.

    No result is published after this call.
    """
    _moving.acquire()
    for folder in tuple(_open_stagings):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _staging_folder(make: Callable[[], Path]) -> Iterator[Path]:
    folder, descriptor = _lock_new_folder(make)
    _open_stagings.add(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _open_stagings.discard(folder)
        os.close(descriptor)


def _lock_new_folder(make: Callable[[], Path]) -> tuple[Path, int]:
    """Make a staging folder and hold its lock, which tells other runs that this one is alive."""
    while True:
        folder = make()
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):  # some network filesystems cannot lock: their remains stay where they are
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if folder.exists():  # else another run took it for a dead one's before it was locked
            return folder, descriptor
        os.close(descriptor)


def _make_staging_folder(output: Path) -> Path:
    """Beside the output folder where files can be renamed from there into it, else where temporary files go."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if not output.exists():
        return _make_folder(_sibling_prefix(output))
    with suppress(OSError):
        folder = _make_folder(_sibling_prefix(output))
        if _can_rename(folder, output):
            return folder
        folder.rmdir()
    with suppress(OSError):
        folder = _make_folder(_temporary_prefix())
        folder.chmod(0o700)  # others can look into the folder for temporary files
        return folder
    return _make_folder(output / _MARK)


def _sibling_prefix(output: Path) -> Path:
    return output.parent / f".{output.name[:100]}{_MARK}"


def _temporary_prefix() -> Path:
    return Path(tempfile.gettempdir()) / f"{_MARK}{os.getuid()}-"


def _make_folder(prefix: Path) -> Path:
    folder = prefix.with_name(prefix.name + secrets.token_hex(4))
    folder.mkdir()
    return folder


def _can_rename(folder: Path, output: Path) -> bool:
    """Whether a file can be renamed from `folder` into `output`: a bind mount shows only when one tries."""
    probe, moved = folder / "probe", output / f"{_MARK}{secrets.token_hex(4)}"
    probe.touch()
    try:
        probe.rename(moved)
    except OSError:
        probe.unlink()
        return False
    moved.unlink()
    return True


def _remove_remains(output: Path) -> None:
    """Take away the staging folders of runs that are no longer alive: nobody holds their lock."""
    for prefix in (_sibling_prefix(output), output / _MARK, _temporary_prefix()):
        if not prefix.parent.is_dir():
            continue
        for entry in tuple(os.scandir(prefix.parent)):
            if not entry.name.startswith(prefix.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                _remove_if_dead(Path(entry.path))
            else:
                Path(entry.path).unlink(missing_ok=True)


def _remove_if_dead(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return  # its run is alive, or the filesystem cannot tell
    finally:
        os.close(descriptor)


def _move_into_place(staging: Path, output: Path, replaces: Collection[str]) -> None:
    if not _rename_whole(staging, output):
        _move_files(staging, output, replaces)


def _rename_whole(staging: Path, output: Path) -> bool:
    """Put the staging folder in the place of a missing or empty output folder, in one step where that can be done."""
    if Path.cwd() == output:  # a shell that stands in the folder would be left in a removed one
        return False
    try:
        if output.exists():
            _take_over_owner(staging, output)
        staging.rename(output)
    except OSError:
        return False
    return True


def _take_over_owner(staging: Path, output: Path) -> None:
    status = output.stat()
    staging.chmod(stat.S_IMODE(status.st_mode))
    with suppress(PermissionError):
        os.chown(staging, status.st_uid, status.st_gid)


def _move_files(staging: Path, output: Path, replaces: Collection[str]) -> None:
    names = sorted(path.relative_to(staging).as_posix() for path in staging.rglob("*") if not path.is_dir())
    names.sort(key=lambda name: (name == LAST_NAME, not name.lower().endswith(".dcm")))  # stable: by name within each
    if _can_rename(staging, output):
        _rename_files([staging / name for name in names], names, output, replaces)
        return
    with _staging_folder(lambda: _make_folder(output / _MARK)) as carrier:
        carried = [carrier / str(number) for number in range(len(names))]
        for name, path in zip(names, carried, strict=True):
            shutil.copyfile(staging / name, path)
        _rename_files(carried, names, output, replaces)


def _rename_files(paths: Sequence[Path], names: Sequence[str], output: Path, replaces: Collection[str]) -> None:
    """Give files on the output folder's filesystem their names in it; where one cannot have it, none has."""
    moved: list[Path] = []
    try:
        _remove(output, {*replaces} - {*names} | {LAST_NAME})
        for path, name in zip(paths, names, strict=True):
            target = output / name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            moved.append(target)
    except OSError:
        for target in moved:
            target.unlink(missing_ok=True)
        raise


def _remove(folder: Path, names: Collection[str]) -> None:
    """Remove files, the report first: from there on the earlier results are not complete."""
    plain = sorted(filter(_is_plain, names), key=lambda name: (name != LAST_NAME, name))
    for name in plain:
        (folder / name).unlink(missing_ok=True)


def _is_plain(name: str) -> bool:
    """Whether a name stays within the folder that it is relative to."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
