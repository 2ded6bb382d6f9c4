"""From measured nodules to findings."""

from __future__ import annotations

from dataclasses import dataclass

from lung_nodules.stages.nodules import Nodule


@dataclass(frozen=True)
class Finding:
    """A nodule as reported."""

    nodule: Nodule
    finding_id: str  # "N1", "N2", ... by falling suspicion
    nodule_probability: float  # 0-1: a nodule, not a vessel or scar
    suspicion_score: float  # 0-1: readers' suspicion of malignancy, never a probability of cancer
    characteristics: dict[str, float]  # LIDC characteristic -> expected reader rating on LIDC's scale
