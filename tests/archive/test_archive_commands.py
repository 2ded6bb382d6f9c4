"""`lung-nodules fetch` and `lung-nodules push`, as a user runs them."""

from __future__ import annotations

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
