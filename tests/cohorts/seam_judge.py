"""A judge of seams: can pasted places be told from the same places before, by what lies around the pasted thing?

What was pasted is hidden up to some distance in both pictures. The rest is described by bands of distance: level,
spread, gradients and fine structure in plane and from slice to slice, and the changes from band to band. Two learners
(a logistic regression and a forest) are cross-validated with both pictures of a place in the same fold.
"""

from __future__ import annotations

from collections.abc import Iterator

import edt
import numpy as np
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.cohorts.hosts import Host
from lung_nodules.cohorts.pasting import Composite

BANDS_MM = ((1.5, 2.5), (2.5, 3.5), (3.5, 4.5), (4.5, 6.0), (6.0, 8.0))
HIDDEN_HU = -850.0
REACH_MM = 9.0

Array = np.ndarray  # type: ignore[type-arg]


def seam_auc(composites: list[tuple[Host, Composite]], hidden_mm: float) -> float:
    """The better learner's cross-validated AUC; 0.5 where nothing can be told."""
    pairs = [pair for host, composite in composites for pair in _pairs(host, composite, hidden_mm)]
    features = np.array([one for pair in pairs for one in pair])
    pasted, place = np.tile([1, 0], len(pairs)), np.repeat(np.arange(len(pairs)), 2)
    learners = (
        make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000)),
        RandomForestClassifier(300, min_samples_leaf=3, random_state=0),
    )
    folds = GroupKFold(5)
    return max(
        float(
            roc_auc_score(
                pasted,
                cross_val_predict(one, features, pasted, groups=place, cv=folds, method="predict_proba")[:, 1],
            )
        )
        for one in learners
    )


def lung_crops(host: Host, num: int, seed: int) -> list[NoduleCrop]:
    """Balls of plain lung "outlined" as if they were nodules, in slabs that end where the ball does."""
    rng = np.random.default_rng(seed)
    lung, spacing_mm = np.argwhere(host.lung & host.clear), np.array(host.geometry.spacing_mm)
    half = (20 / spacing_mm).astype(int)
    fitting = lung[((lung >= half) & (lung < np.array(host.hu.shape) - half)).all(axis=1)]
    offsets = np.ogrid[tuple(slice(-n, n + 1) for n in half)]
    away_mm = np.sqrt(sum((axis * mm) ** 2 for axis, mm in zip(offsets, spacing_mm, strict=True)))
    crops = []
    for number, center in enumerate(rng.choice(fitting, num, replace=False)):
        box = tuple(slice(at - n, at + n + 1) for at, n in zip(center, half, strict=True))
        radius_mm = rng.uniform(3, 8)
        ball = away_mm <= radius_mm
        own = ball.any(axis=(1, 2))
        crops.append(drawn_crop(f"lung-{seed}-{number}", host.hu[box][own], ball[own], host.geometry.spacing_mm))
    return crops


def drawn_crop(
    name: str, image: Array, inside: Array, spacing_mm: tuple[float, float, float], kind: str = "slices"
) -> NoduleCrop:
    """A crop that four readers outlined alike, rounded to 8 HU as the real ones are."""
    rounded = (np.round(image / 8) * 8).astype(np.int16)
    diameter_mm = 2 * float(np.sqrt(inside.sum(axis=(1, 2)).max() * spacing_mm[1] * spacing_mm[2] / np.pi))
    return NoduleCrop(
        name, name, kind, rounded, np.where(inside, 15, 0).astype(np.uint8), spacing_mm, 4, 4, {}, {}, diameter_mm, 0
    )


def _pairs(host: Host, composite: Composite, hidden_mm: float) -> Iterator[tuple[Array, Array]]:
    spacing_mm = composite.spacing_mm
    for nodule in composite.nodules:
        reach = [int(REACH_MM / mm) + 1 for mm in spacing_mm]
        box = tuple(slice(max(part.start - n, 0), part.stop + n) for part, n in zip(nodule.box, reach, strict=True))
        away_mm = edt.edt(np.ascontiguousarray(composite.labels[box] != nodule.label), anisotropy=spacing_mm)
        yield _features(composite.hu[box], away_mm, hidden_mm), _features(host.hu[box], away_mm, hidden_mm)


def _features(image: Array, away_mm: Array, hidden_mm: float) -> Array:
    hu = np.where(away_mm <= hidden_mm, HIDDEN_HU, image.astype(float))
    fine = hu - ndimage.gaussian_filter(hu, [0, 1, 1])
    jump = hu - ndimage.uniform_filter1d(hu, 3, axis=0)
    slope = np.hypot(np.gradient(hu, axis=1), np.gradient(hu, axis=2))
    bands = [(away_mm > max(low, hidden_mm)) & (away_mm <= high) for low, high in BANDS_MM if high > hidden_mm]
    rows = np.array([_describe(hu[band], fine[band], jump[band], slope[band]) for band in bands])
    return np.concatenate([rows.ravel(), np.diff(rows, axis=0).ravel()])


def _describe(hu: Array, fine: Array, jump: Array, slope: Array) -> list[float]:
    if not len(hu):
        return [0.0] * 9
    typical = [float(np.median(np.abs(each))) for each in (fine, jump, slope)]
    return [np.median(hu), hu.mean(), hu.std(), fine.std(), jump.std(), slope.mean(), *typical]
