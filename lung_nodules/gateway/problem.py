"""One reason for which a workflow would not be taken or would not run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What is wrong with a workflow.

    Attributes:
        code: Reason in kebab case.
        sentence: One sentence for the user.
        task: Id of the task that it is about; empty where it is about the whole workflow.
    """

    code: str
    sentence: str
    task: str = ""

    def __str__(self) -> str:
        place = f"task {self.task}: " if self.task else ""
        return f"{place}{self.sentence} [{self.code}]"
