"""Refusals: what a user can do something about, with a coded reason and the exit code it becomes.

A stage raises a `Refusal`; it is caught once at each edge (graph, command line, service). Anything else that
is raised is a defect of ours and ends with `ExitCode.INTERNAL_ERROR`.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes, the same for `python .` and `lung-nodules exec`."""

    RESULTS_WRITTEN = 0
    INTERNAL_ERROR = 1
    BAD_USAGE = 2
    NO_USABLE_CT = 3
    BAD_MODEL = 4
    OUTPUT_NOT_WRITTEN = 5


class Refusal(Exception):  # noqa: N818  # the word is the user's: a refusal is no error of the program
    """The line cannot go on, for a reason that the user can act on.

    Args:
        code: Short reason in kebab case, for example ``missing-slices``. Stable across versions.
        sentence: One sentence for the user. Never holds a patient's name, ID or birth date.
        advice: What the user can do about it; empty when the sentence says so already.
    """

    exit_code = ExitCode.INTERNAL_ERROR

    def __init__(self, code: str, sentence: str, advice: str = "") -> None:
        super().__init__(f"{sentence} [{code}]")
        self.code = code
        self.sentence = sentence
        self.advice = advice


class UsageRefusal(Refusal):
    """The command was called with arguments or settings that cannot be used."""

    exit_code = ExitCode.BAD_USAGE


class InputRefusal(Refusal):
    """The input holds no CT that can be read."""

    exit_code = ExitCode.NO_USABLE_CT


class ModelRefusal(Refusal):
    """A model is missing, altered or does not fit this version."""

    exit_code = ExitCode.BAD_MODEL


class OutputRefusal(Refusal):
    """Results could not be written."""

    exit_code = ExitCode.OUTPUT_NOT_WRITTEN


class InternalError(Refusal):
    """A defect of ours, as the edge words it for the user; no stage raises this.

    Args:
        error: What was raised. Only its type is named: its text may hold what was read from the input.
        stage: The stage that raised it.
    """

    exit_code = ExitCode.INTERNAL_ERROR

    def __init__(self, error: Exception, stage: str) -> None:
        sentence = f"Internal error ({type(error).__name__}) in the stage {stage}; no results were written."
        super().__init__("internal-error", sentence, "--log-level DEBUG shows where.")
