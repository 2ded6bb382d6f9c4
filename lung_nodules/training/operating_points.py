"""Operating points of nodule or not: thresholds chosen on validation patients, with the false positives they cost.

Two kinds: those that keep a stated share of the nodules, and those that leave a stated number of false positives a
scan. No whole scan of a validation patient is at hand, so false positives a scan are had in two factors:

    candidates a scan that are no nodule  x  share of such candidates above the threshold

The first is counted in whole scans, at the finder's own threshold; the second comes from the finder's mistakes beside
the nodules of validation patients, whom neither network knows. A count by the volume searched would be no better: what
lies beside a nodule and is read with its end slices repeated deceives the finder many times more often than lung does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lung_nodules.networks.record import LinearHead
from lung_nodules.stages.classification import apply_head
from lung_nodules.training.ranks import this_rank

logger = logging.getLogger(__name__)

KEPT_SHARES = {"sensitive": 0.99, "balanced": 0.95, "specific": 0.85}
FALSE_POSITIVES = {"fp_0.5": 0.5, "fp_1": 1.0, "fp_2": 2.0, "fp_4": 4.0}  # name: false positives a scan
DEFAULT_POINT = "fp_0.5"

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScanRate:
    """How many places of a whole scan the finder hands on that are no nodule."""

    per_scan: float
    counted_on: str  # in words


def greater_rate(known: ScanRate, num_counted: int, num_scans: int) -> ScanRate:
    """The greater rate of two; both are logged, and which one is used.

    Args:
        known: Of the finder, in scans that it learned from; used where the other one is no greater.
        num_counted: Mistakes of finders in scans that they did not learn from.
        num_scans: How many such scans there were.
    """
    unknown = ScanRate(
        num_counted / max(num_scans, 1), f"{num_scans} training scans, by finders which did not learn from them"
    )
    used = unknown if unknown.per_scan > known.per_scan else known
    if this_rank().is_first:
        logger.info(
            "false candidates: %d in %d scans that the finders by fold did not learn from, %.2f a scan; "
            "%.2f a scan in %s; used: %.2f a scan",
            num_counted,
            num_scans,
            unknown.per_scan,
            known.per_scan,
            known.counted_on,
            used.per_scan,
        )
    return used


def operating_points(
    head: LinearHead,
    nodules: Sequence[Mapping[str, float]],
    mistakes: Sequence[Mapping[str, float]],
    rate: ScanRate,
) -> dict[str, dict[str, object]]:
    """The operating points by name, as the record stores them.

    Args:
        head: Nodule or not.
        nodules: Inputs of the head for validation patients' nodules.
        mistakes: The same for validation patients' mistakes.
        rate: Of the finder.
    """
    found = np.sort([apply_head(head, one) for one in nodules])
    wrong = np.sort([apply_head(head, one) for one in mistakes])
    thresholds = {name: float(np.quantile(found, 1 - share)) for name, share in KEPT_SHARES.items()}
    thresholds |= {name: threshold_for(wrong, wanted, rate) for name, wanted in FALSE_POSITIVES.items()}
    return {name: _describe(threshold, found, wrong, rate) for name, threshold in thresholds.items()}


def threshold_for(wrong: Values, false_positives_per_scan: float, rate: ScanRate) -> float:
    """The lowest threshold that leaves no more than the wanted false positives a scan.

    It lies half-way between the last mistake that is kept and the first that is not, so that it does not hang on one
    of them; 0 where the finder makes no more mistakes than are wanted.

    Args:
        wrong: What the head gives for mistakes.
        false_positives_per_scan: Wanted at the most.
        rate: Of the finder.
    """
    share = false_positives_per_scan / rate.per_scan if rate.per_scan > 0 else 1.0
    num_kept = int(share * len(wrong))
    if share >= 1 or num_kept >= len(wrong):
        return 0.0
    falling = np.sort(wrong)[::-1]
    kept = falling[num_kept - 1] if num_kept else 1.0
    return float((kept + falling[num_kept]) / 2)


def _describe(threshold: float, found: Values, wrong: Values, rate: ScanRate) -> dict[str, object]:
    num_found, num_wrong = int((found >= threshold).sum()), int((wrong >= threshold).sum())
    per_scan = rate.per_scan * num_wrong / max(len(wrong), 1)
    kept = f"keeps {num_found} of {len(found)} nodules of >= 3 masks"
    wrongly = f"and {num_wrong} of the finder's {len(wrong)} mistakes beside them"
    scans = f"{rate.per_scan:.1f} mistakes a scan before the classifier ({rate.counted_on})"
    return {
        "threshold": threshold,
        "false_positives_per_scan": round(per_scan, 2),
        "chosen_on": f"validation patients: {kept} {wrongly}; {scans}",
    }
