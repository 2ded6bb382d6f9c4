"""Everything that can be said of a workflow before it is registered."""

from __future__ import annotations

from collections.abc import Collection

from lung_nodules.gateway.dispatch import check_dispatch
from lung_nodules.gateway.problem import Problem
from lung_nodules.gateway.registration import check_registration
from lung_nodules.gateway.workflow import Workflow


def check_workflow(workflow: Workflow, known_origins: Collection[str] | None = None) -> tuple[Problem, ...]:
    """Find what is wrong with a workflow.

    Args:
        workflow: As it would be posted to the Workflow Manager.
        known_origins: Names of the sources that the Informatics Gateway knows; None: not known, and not checked.

    Returns:
        First what the registration would refuse, then what would go wrong when it runs.
    """
    return (*check_registration(workflow, known_origins), *check_dispatch(workflow))
