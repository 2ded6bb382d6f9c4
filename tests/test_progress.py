"""What long work says of itself: a bar on a terminal, lines elsewhere, and one way to take times."""

import io
import logging
import time

import pytest
from rich.console import Console

from lung_nodules import progress
from lung_nodules.progress import LogProgress, Progress, RichProgress, SilentProgress, choose_progress
from lung_nodules.timings import Stopwatch


def work(told: Progress) -> None:
    with told.stage("volume"):
        pass
    with told.stage("detection"), told.stage("windows", total=4) as advance:
        for _ in range(4):
            advance(1)


def test_log_lines_name_each_stage_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lung_nodules"):
        work(LogProgress())
    assert [message.split(":")[0] for message in caplog.messages] == ["volume", "detection"]


def test_log_lines_count_the_steps_of_a_long_stage(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lung_nodules"):
        work(LogProgress(interval_s=0))
    assert "detection: 3 of 4" in caplog.messages


def test_a_stage_that_fails_is_not_said_to_be_done(caplog: pytest.LogCaptureFixture) -> None:
    told = LogProgress()
    with caplog.at_level(logging.INFO, logger="lung_nodules"), pytest.raises(KeyError), told.stage("volume"):
        raise KeyError
    assert caplog.messages == []


def test_a_terminal_shows_a_bar_and_leaves_a_line_a_stage() -> None:
    drawn = io.StringIO()
    work(RichProgress(Console(file=drawn, force_terminal=True, width=80)))
    assert "━" in drawn.getvalue()
    plain = io.StringIO()
    work(RichProgress(Console(file=plain, width=80)))
    lines = [line.split()[0] for line in plain.getvalue().splitlines() if line.strip()]
    assert lines == ["volume", "detection"]


@pytest.mark.parametrize(("is_terminal", "kind"), [(True, RichProgress), (False, LogProgress)])
def test_the_terminal_decides(monkeypatch: pytest.MonkeyPatch, is_terminal: bool, kind: type) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr(progress.sys, "stderr", stream)
    assert isinstance(choose_progress(), kind)


@pytest.mark.parametrize("told", [SilentProgress(), LogProgress(), RichProgress(Console(file=io.StringIO()))])
def test_stages_may_follow_one_another_after_a_failure(told: Progress) -> None:
    with pytest.raises(KeyError), told.stage("volume", total=3):
        raise KeyError
    work(told)


def test_the_stopwatch_times_outer_stages_and_adds_up() -> None:
    watch = Stopwatch()
    work(watch)
    before = watch.seconds["volume"]
    with watch.stage("volume"):
        time.sleep(0.02)
    assert list(watch.seconds) == ["volume", "detection"]
    assert watch.seconds["volume"] >= before + 0.02
    assert watch.peak_mib["volume"] >= watch.peak_mib["detection"] > 1


def test_the_stopwatch_remembers_the_stage_that_failed() -> None:
    watch = Stopwatch()
    with watch.stage("volume"):
        pass
    assert watch.under_way == ""
    with pytest.raises(KeyError), watch.stage("lungs"):
        raise KeyError
    assert watch.under_way == "lungs"
    assert list(watch.seconds) == ["volume"]
