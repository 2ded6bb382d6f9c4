"""The entry script of our image, with folders of its own in the place of the image's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import REPOSITORY

TOOLS = REPOSITORY / "deploy" / "map" / "tools"

# Says its arguments and what it is; waits for a signal or ends with a code, as its first argument asks.
APPLICATION = """
import json, os, signal, sys
print(json.dumps({"arguments": sys.argv[1:], "pid": os.getpid(), "folder": os.getcwd()}), flush=True)
if sys.argv[1:2] == ["wait"]:
    number = signal.sigwait({signal.SIGTERM, signal.SIGINT})
    sys.exit(128 + number)
sys.exit(int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdecimal() else 0)
"""

Tools = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An image in miniature."""
    for folder in ("app/inner", "models/detection", "docs", "etc", "work"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "app" / "__main__.py").write_text(APPLICATION)
    (tmp_path / "app" / "inner" / "deep file.py").touch()
    (tmp_path / "models" / "detection" / "record.json").touch()
    (tmp_path / "docs" / "LICENSE").touch()
    (tmp_path / "work" / "app.yaml").write_text("settings")
    command = [sys.executable, str(tmp_path / "app")]
    (tmp_path / "etc" / "app.json").write_text(json.dumps({"command": json.dumps(command)}))
    (tmp_path / "etc" / "pkg.json").write_text('{"models": []}')
    return {
        "PATH": os.environ["PATH"],
        "HOLOSCAN_APPLICATION": str(tmp_path / "app"),
        "HOLOSCAN_MODEL_PATH": f"{tmp_path}/models/",
        "HOLOSCAN_DOCS": str(tmp_path / "docs"),
        "HOLOSCAN_WORKDIR": str(tmp_path / "work"),
        "HOLOSCAN_CONFIG_PATH": str(tmp_path / "work" / "app.yaml"),
        "HOLOSCAN_APP_MANIFEST_PATH": str(tmp_path / "etc" / "app.json"),
        "HOLOSCAN_PKG_MANIFEST_PATH": str(tmp_path / "etc" / "pkg.json"),
        "HOLOSCAN_EXPORT_PATH": str(tmp_path / "export"),
    }


@pytest.fixture
def tools(environment: dict[str, str]) -> Tools:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([TOOLS, *arguments], env=environment, capture_output=True, text=True, check=False)

    return run


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_without_a_command_the_application_runs_in_the_working_directory(tools: Tools, tmp_path: Path) -> None:
    done = tools()
    assert done.returncode == 0
    assert json.loads(done.stdout)["arguments"] == []
    assert json.loads(done.stdout)["folder"] == str(tmp_path / "work")


def test_arguments_stay_whole(tools: Tools) -> None:
    """The packager's script splits them at blanks and runs what a shell would run."""
    arguments = ["--input", "two words", "$(touch pwned)", "`id`", "*", "", "a'b\"c"]
    assert json.loads(tools(*arguments).stdout)["arguments"] == arguments


@pytest.mark.parametrize("code", [0, 3, 5, 137])
def test_the_exit_code_is_the_applications(tools: Tools, code: int) -> None:
    """The packager's script ends with 0 in any case."""
    assert tools(str(code)).returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_application_in_its_place(environment: dict[str, str], number: signal.Signals) -> None:
    with subprocess.Popen([TOOLS, "wait"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["pid"] == process.pid, "the script has become the application"
        process.send_signal(number)
        assert process.wait(2) == 128 + number


def test_a_signal_before_the_application_is_up_is_kept_for_it(environment: dict[str, str]) -> None:
    """As the first process of a container it would else be lost, and the stop would become a kill."""
    with subprocess.Popen([TOOLS, "wait"], env=environment, stdout=subprocess.PIPE) as process:
        status = Path(f"/proc/{process.pid}/status")
        while f"SigBlk:\t{1 << (signal.SIGTERM - 1) | 1 << (signal.SIGINT - 1):016x}" not in status.read_text():
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 128 + signal.SIGTERM


def test_a_missing_manifest_is_said(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "etc" / "app.json").unlink()
    done = tools("--input", "in")
    assert done.returncode == 2
    assert "no manifest" in done.stderr


def test_show_prints_the_manifests(tools: Tools) -> None:
    assert json.loads(tools("show", "pkg").stdout) == {"models": []}
    assert "command" in json.loads(tools("show", "app").stdout)
    both = tools("show").stdout
    assert both.index("app.json") < both.index("command") < both.index("pkg.json") < both.index("models")
    assert tools("show", "nothing").returncode == 2


EXPORTED = {
    "app": {"__main__.py", "inner/deep file.py"},
    "config": {"app.yaml", "app.json", "pkg.json"},
    "models": {"detection/record.json"},
    "docs": {"LICENSE"},
}


def test_everything_is_extracted_where_no_part_is_mounted(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    done = tools("extract")
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "export") == {f"{part}/{name}" for part, names in EXPORTED.items() for name in names}


@pytest.mark.parametrize("parts", [["app"], ["config"], ["models", "docs"]])
def test_each_mounted_part_receives_its_content_and_no_other_does(
    tools: Tools, tmp_path: Path, parts: list[str]
) -> None:
    """The packager's script serves only the first of them, and puts app/ into app/."""
    for part in parts:
        (tmp_path / "export" / part).mkdir(parents=True)
    assert tools("extract").returncode == 0
    expected = {f"{part}/{name}" for part in parts for name in EXPORTED[part]}
    assert files_in(tmp_path / "export") == expected


def test_extracting_into_nothing_is_refused(tools: Tools) -> None:
    done = tools("extract")
    assert done.returncode == 2
    assert "mounted" in done.stderr


def test_a_part_that_cannot_be_written_is_refused(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "app").touch()
    done = tools("extract")
    assert done.returncode == 5
    assert "cannot be written" in done.stderr


def test_the_environment_and_the_help_are_printed(tools: Tools, environment: dict[str, str]) -> None:
    assert f"HOLOSCAN_DOCS={environment['HOLOSCAN_DOCS']}" in tools("env").stdout.splitlines()
    said = tools("help").stdout
    assert all(word in said for word in ("show", "extract", "env", "/var/run/holoscan/export", "medical device"))
