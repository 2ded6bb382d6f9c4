"""A clinical workflow of MONAI Deploy's Workflow Manager, read from its JSON as the manager reads it.

Names of fields are matched in any case, unknown fields are left aside, and what may be missing has the manager's own
default (Workflow Manager 0.3, ``src/WorkflowManager/Contracts/Models``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lung_nodules.errors import InputRefusal, UsageRefusal


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Artifact(_Part):
    """A folder of files that a task is given or gives."""

    name: str = ""
    value: str = ""
    mandatory: bool = True


class Artifacts(_Part):
    """What a task is given and gives."""

    input: tuple[Artifact, ...] = ()
    output: tuple[Artifact, ...] = ()


class Destination(_Part):
    """The next task, or a DICOM destination, by its name."""

    name: str = ""
    conditions: tuple[str, ...] = ()


class Task(_Part):
    """One step of a workflow.

    Attributes:
        unquoted_args: Names of the arguments that are numbers or truth values in the JSON; `args` has them as text.
        timeout_minutes: Not above 0: not given.
    """

    id: str = ""
    type: str = ""
    description: str = ""
    args: dict[str, str] = Field(default_factory=dict)
    unquoted_args: tuple[str, ...] = ()
    artifacts: Artifacts = Artifacts()
    task_destinations: tuple[Destination, ...] = ()
    export_destinations: tuple[Destination, ...] = ()
    timeout_minutes: float = -1

    @model_validator(mode="before")
    @classmethod
    def _take_unquoted(cls, fields: Any) -> Any:
        args = fields.get("args") if isinstance(fields, dict) else None
        if not isinstance(args, dict):
            return fields
        unquoted = {name: json.dumps(value) for name, value in args.items() if isinstance(value, (int, float))}
        return {**fields, "args": args | unquoted, "unquoted_args": tuple(unquoted)}


class Gateway(_Part):
    """What the Informatics Gateway has to do with a workflow."""

    ae_title: str = ""
    data_origins: tuple[str, ...] = ()
    export_destinations: tuple[str, ...] = ()


class Workflow(_Part):
    """A clinical workflow. Its first task is the root."""

    name: str = ""
    version: str = ""
    description: str = ""
    informatics_gateway: Gateway | None = None
    tasks: tuple[Task, ...] = ()


def read_workflow(path: Path) -> Workflow:
    """Read a workflow from its file.

    Raises:
        UsageRefusal: ``workflow-not-found`` when there is no such file.
        InputRefusal: See `parse_workflow`.
    """
    try:
        return parse_workflow(path.read_bytes())
    except OSError as error:
        raise UsageRefusal("workflow-not-found", f"The workflow cannot be opened: {path}.") from error


def parse_workflow(text: str | bytes) -> Workflow:
    """Read a workflow.

    Args:
        text: JSON.

    Raises:
        InputRefusal: ``workflow-not-json`` or ``workflow-malformed``, with the fields that cannot be read.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputRefusal("workflow-not-json", f"The workflow is not JSON: {error}.") from error
    try:
        return Workflow.model_validate(_in_lower_case(document))
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) or "the whole" for problem in error.errors())
        raise InputRefusal(
            "workflow-malformed", f"The workflow cannot be read; of the wrong kind: {fields}."
        ) from error


def _in_lower_case(part: Any) -> Any:
    """Make all names of fields lower case, but those of arguments; leave out nulls, which give nothing."""
    if isinstance(part, list):
        return [_in_lower_case(item) for item in part]
    if not isinstance(part, dict):
        return part
    fields = {name.lower(): value for name, value in part.items() if value is not None}
    return {name: value if name == "args" else _in_lower_case(value) for name, value in fields.items()}
