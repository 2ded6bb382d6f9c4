"""Results appear all at once or not at all, whatever happens to the run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lung_nodules import publication
from lung_nodules.errors import OutputRefusal
from lung_nodules.publication import check_output_folder, publish, withdraw

NAMES = {"report.json", "segmentation.dcm", "findings.png"}

# Publishes into folders 0, 1, 2 ... under its first argument until it is killed; every second one is there and empty.
ENDLESS_RUN = """
import itertools, sys, time
from pathlib import Path
from lung_nodules.publication import publish
print("ready", flush=True)
for number in itertools.count():
    out = Path(sys.argv[1], str(number))
    if number % 2:
        out.mkdir(parents=True)
    with publish(out) as folder:
        for name in ("segmentation.dcm", "findings.png", "report.json"):
            with (folder / name).open("w") as file:
                for _ in range(10):
                    file.write("x" * 1000)
                    time.sleep(0.0001)
"""


def write_results(folder: Path, content: str = "new") -> None:
    for name in NAMES:
        (folder / name).write_text(content)


def write_and_fail(folder: Path) -> None:
    write_results(folder)
    raise ZeroDivisionError


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_results_appear_in_a_missing_folder_and_nothing_else_does(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with publish(out) as folder:
        write_results(folder)
        assert not out.exists()
    assert names_in(out) == NAMES
    assert names_in(out.parent) == {"out"}


def test_an_empty_folder_keeps_its_permissions(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    with publish(out) as folder:
        write_results(folder)
    assert names_in(out) == NAMES
    assert out.stat().st_mode & 0o777 == 0o750


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError), publish(out) as folder:
        write_and_fail(folder)
    assert names_in(tmp_path) == set()


def test_earlier_results_are_replaced_and_foreign_files_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with publish(out) as folder:
        write_results(folder, "old")
        (folder / "findings-2.png").write_text("old")
    (out / "notes.txt").write_text("mine")
    with publish(out, replaces={"findings-2.png", "report.json"}) as folder:
        write_results(folder)
    assert names_in(out) == {*NAMES, "notes.txt"}
    assert all((out / name).read_text() == "new" for name in NAMES)
    assert (out / "notes.txt").read_text() == "mine"
    assert names_in(tmp_path) == {"out"}


def test_names_that_lead_out_of_the_folder_are_not_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").touch()
    (tmp_path / "precious").touch()
    with publish(out, replaces={"../precious", str(tmp_path / "precious")}) as folder:
        write_results(folder)
    assert (tmp_path / "precious").exists()


def test_sub_folders_are_moved_with_their_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").touch()
    with publish(out) as folder:
        (folder / "pictures").mkdir()
        (folder / "pictures" / "1.png").write_text("1")
        (folder / "report.json").write_text("{}")
    assert (out / "pictures" / "1.png").read_text() == "1"


def test_the_current_directory_is_not_pulled_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with publish(Path()) as folder:
        write_results(folder)
    assert {path.name for path in Path().iterdir()} == NAMES


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty output folder that nothing outside it can be renamed into or onto, as a container's mount is."""
    monkeypatch.setattr(publication, "_can_rename", lambda folder, output: False)
    monkeypatch.setattr(publication, "_rename_whole", lambda staging, output: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_results_for_a_mount_are_staged_elsewhere(mount: Path, tmp_path: Path) -> None:
    with publish(mount) as folder:
        write_results(folder)
        assert folder.parent == tmp_path / "temporary"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert names_in(mount) == set()
    assert names_in(mount) == NAMES
    assert names_in(tmp_path) == {"out", "temporary"}
    assert names_in(tmp_path / "temporary") == set()


def test_nothing_in_a_mount_ends_as_dicom_before_all_is_there(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway uploads what a killed container has left and exports what ends in ``.dcm``."""
    seen: list[set[str]] = []

    def copy_and_look(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        seen.append({path.name for path in mount.rglob("*") if path.is_file()})

    monkeypatch.setattr(shutil, "copyfile", copy_and_look)
    with publish(mount) as folder:
        write_results(folder)
    assert [len(names) for names in seen] == [1, 2, 3]
    assert not [name for name in set().union(*seen) if name.endswith(".dcm")]
    assert names_in(mount) == NAMES


def test_without_a_folder_for_temporary_files_a_mount_is_staged_within(mount: Path, tmp_path: Path) -> None:
    (tmp_path / "temporary").rmdir()
    with publish(mount) as folder:
        assert folder.parent == mount
        write_results(folder)
    assert names_in(mount) == NAMES


def test_what_is_withdrawn_is_gone_and_the_rest_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with publish(out) as folder:
        write_results(folder)
    (tmp_path / "precious").touch()
    withdraw(out, {"report.json", "segmentation.dcm", "missing.png", "../precious"})
    withdraw(tmp_path / "missing", {"report.json"})
    assert names_in(out) == {"findings.png"}
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize("fails_at", range(4))
def test_a_move_that_fails_half_way_leaves_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").touch()
    replace, calls = Path.replace, []

    def failing(self: Path, target: Path) -> Path:
        calls.append(target.name)
        if len(calls) > fails_at:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        if fails_at < len(NAMES):
            with pytest.raises(OutputRefusal, match="No space left on device") as caught, publish(out) as folder:
                write_results(folder)
            assert caught.value.code == "output-not-written"
            assert names_in(out) == {"notes.txt"}
        else:
            with publish(out) as folder:
                write_results(folder)
            assert calls[-1] == "report.json"
            assert names_in(out) == {*NAMES, "notes.txt"}


def test_dicom_objects_appear_next_to_each_other_and_the_report_last(
    mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a gateway exports after a kill between two of these: the SR refers to the SEG."""
    written, seen = ["another.json", "findings.png", "segmentation.dcm", "sent.txt", "structured_report.dcm"], []
    replace = Path.replace

    def note(self: Path, target: Path) -> Path:
        seen.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", note)
    with publish(mount) as folder:
        for name in ("report.json", *written):
            (folder / name).touch()
    assert seen[:2] == ["segmentation.dcm", "structured_report.dcm"]
    assert seen[2:] == ["another.json", "findings.png", "sent.txt", "report.json"]


def test_a_run_that_is_killed_leaves_empty_or_complete_folders(tmp_path: Path) -> None:
    rng = random.Random(7)
    killed_under_way = 0
    for attempt in range(20):
        root = tmp_path / str(attempt)
        with subprocess.Popen([sys.executable, "-c", ENDLESS_RUN, str(root)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        folders = [path for path in root.glob("*") if path.name.isdecimal()]
        for folder in folders:
            assert names_in(folder) in (set(), NAMES)
            assert all(path.stat().st_size == 10_000 for path in folder.iterdir())
        killed_under_way += any(path.name.startswith(".") for path in root.glob(".*"))
        for number in range(len(folders) + 1):
            with publish(root / str(number)) as staging:
                write_results(staging)
        assert not list(root.glob(".*")), "what a killed run left is taken away by the next one"
    assert killed_under_way > 5, "the kills came while results were being written"


def test_a_living_run_keeps_its_staging_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with publish(out) as first:
        write_results(first, "first")
        with publish(out) as second:
            write_results(second, "second")
        assert first.is_dir()
    assert (out / "report.json").read_text() == "first"


def test_a_full_disk_is_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(OutputRefusal, match="could not be written") as caught, publish(tmp_path / "out"):
        raise OSError(28, os.strerror(28))
    assert caught.value.code == "output-not-written"
    assert names_in(tmp_path) == set()


def test_a_file_in_the_place_of_the_folder_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    for folder in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(OutputRefusal, match="is a file"):
            check_output_folder(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused_early(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputRefusal, match="cannot be written"):
        check_output_folder(tmp_path / "out")
    tmp_path.chmod(0o700)


def test_abandoning_takes_the_staged_files_away(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from lung_nodules import publication
with publication.publish(Path({str(tmp_path / "out")!r})) as folder:
    (folder / "report.json").write_text("x")
    publication.abandon()
    os._exit(128 + {signal.SIGTERM:d})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 128 + signal.SIGTERM
    assert names_in(tmp_path) == set()
