"""`lung-nodules fetch` and `lung-nodules push`, as a user runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from archive_studies import SmallStudy, uids_of, uids_of_files


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lung_nodules", *map(str, arguments)]
    environment = {"PATH": "/usr/bin", "HOME": str(cwd), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)


def test_a_study_is_fetched_by_uid_and_by_query(study: SmallStudy, tmp_path: Path) -> None:
    for number, options in enumerate((["--study", study.uid], ["--patient", "LZ 127", "--from", "2024-01-01"])):
        out = tmp_path / str(number)
        done = run("fetch", out, "--archive", study.folder, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{study.uid}  {study.thin.num_slices} instances" in done.stdout
        assert len(uids_of(out)) == study.thin.num_slices
    assert (tmp_path / ".cache" / "lung-nodules" / "instances").is_dir()


def test_what_matches_is_listed(study: SmallStudy, tmp_path: Path) -> None:
    done = run("fetch", "out", "-a", study.folder, "--description", "chest*", "--list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert study.uid in done.stdout
    assert "LZ" not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (["--study", "1.2.3"], 3, "No study matches"),
        (["--study", "1.2.*"], 3, "digits and dots"),
        (["--patient", "X*"], 3, "exact"),
        (["--modality", "MR"], 3, "No study matches"),
    ],
)
def test_a_refusal_is_one_sentence(study: SmallStudy, tmp_path: Path, options: list[str], code: int, word: str) -> None:
    done = run("fetch", "out", "-a", study.folder, *options, cwd=tmp_path)
    assert done.returncode == code
    assert word in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("out", "options", "place"),
    [
        ("afile", (), "afile is a file"),
        ("afile/below/out", (), "afile is a file"),
        ("/proc/none/out", (), "/proc/none/out/"),
        ("out", ("--cache", "afile"), "to afile: Not a directory"),
        ("out", ("--cache", "afile/below"), "to afile/below: Not a directory"),
        ("out", ("--cache", "/proc/none"), "to /proc/none: No such file"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    study: SmallStudy, tmp_path: Path, out: str, options: tuple[str, ...], place: str
) -> None:
    (tmp_path / "afile").touch()
    done = run("fetch", out, "-a", study.folder, "--modality", "CT", *options, cwd=tmp_path)
    assert done.returncode == 5, done.stderr
    assert place in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_series_that_cannot_be_written_is_one_sentence(study: SmallStudy, tmp_path: Path) -> None:
    """Where the disk refuses in the midst of it, as with a file in the place of a folder."""
    assert run("fetch", "out", "-a", study.folder, cwd=tmp_path).returncode == 0
    (series,) = (path for path in (tmp_path / "out").glob("*/*") if path.is_dir())
    shutil.rmtree(series)
    series.touch()
    for options in ((), ("--cache-gib", "0")):
        done = run("fetch", "out", "-a", study.folder, *options, cwd=tmp_path)
        assert done.returncode == 5
        assert done.stderr.startswith("The study could not be written to out/")
        assert "Traceback" not in done.stderr


def test_an_unknown_archive_is_a_wrong_call(tmp_path: Path) -> None:
    done = run("push", ".", "--archive", "nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "no archive of that name" in done.stderr


def test_results_are_pushed(results: list[Path], tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (results[0].parent / "report.json").write_text("{}")
    done = run("push", results[0].parent, "--archive", "to", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 objects stored" in done.stdout
    assert uids_of(tmp_path / "to") == uids_of_files(results)
    assert run("push", tmp_path / "to" / "none", "--archive", "to", cwd=tmp_path).returncode == 2


def test_what_is_no_object_is_not_pushed(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "letter.dcm").write_text("no DICOM")
    for options in (("to",), ("http://127.0.0.1:9",)):
        done = run("push", "letter.dcm", "-a", *options, cwd=tmp_path)
        assert done.returncode == 3
        assert done.stderr.startswith("A file to push cannot be read as a DICOM object.")


def test_a_push_to_nobody_did_not_arrive(results: list[Path], tmp_path: Path) -> None:
    config = tmp_path / "service.yaml"
    config.write_text(
        "archives:\n"
        "  away: {kind: dicomweb, url: 'http://127.0.0.1:9', retries: {max_tries: 1}}\n"
        "  full: {kind: folder, path: /proc/none}\n"
    )
    for name in ("away", "full"):
        done = run("push", results[0].parent, "-a", name, "-c", config, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n"), done.stdout) == (5, 1, ""), done.stderr


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999", "http://127.0.0.1:abc", "http://exa mple.invalid"])
def test_an_address_that_cannot_exist_is_a_wrong_call(results: list[Path], tmp_path: Path, address: str) -> None:
    for command in (("fetch", "out"), ("push", results[0])):
        done = run(*command, "-a", address, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "The setting url in --archive is not valid" in done.stderr.replace("\n", " ")
