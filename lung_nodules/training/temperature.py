"""Temperature scaling (Guo 2017, arXiv 1706.04599): one number makes a head as sure as it is right.

The order of the scores stays, so no AUC changes; the head absorbs the number, so nothing that reads it must know.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from lung_nodules.networks.record import LinearHead

LOG_BOUNDS = (-3.0, 3.0)


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The temperature by which logits are to be divided so that the labels' log-likelihood is greatest.

    Args:
        logits: (n,)
        labels: (n,) 0 or 1, or shares between.
        weights: (n,) of the rows; None: all the same.
    """
    given, truth = np.asarray(logits, dtype=float), np.asarray(labels, dtype=float)
    weight = np.ones(len(given)) if weights is None else np.asarray(weights, dtype=float)

    def loss(log_temperature: float) -> float:
        scaled = given / np.exp(log_temperature)
        entropy = np.logaddexp(0, scaled) - truth * scaled
        return float((weight * entropy).sum() / weight.sum())

    found = minimize_scalar(loss, bounds=LOG_BOUNDS, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def tempered(head: LinearHead, temperature: float) -> LinearHead:
    """The head with its logit divided by a temperature."""
    return head.model_copy(
        update={
            "weights": tuple(weight / temperature for weight in head.weights),
            "intercept": head.intercept / temperature,
        }
    )
