"""From measured nodules to findings: nodule or not, how suspicious, and of what kind.

A Vision Transformer reads a cube around each nodule. Its outputs are joined with the measurements by logistic
regressions that stand in the model's record, because an image score that does not know the nodule's size loses to a
ruler. The suspicion is that of LIDC's readers: how malignant four radiologists thought such a nodule looked. It is
not a probability of cancer, and it holds only if the thing is a nodule: its head learned from nodules alone. What is no
nodule is not suspicious, so by the law of total probability a place that may be one is suspected of

    P(nodule) x P(suspicious | nodule) + P(no nodule) x 0

and findings are ordered by that.

In: the CT and its measured nodules. Out: the findings above the operating point, the most suspicious first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from lung_nodules.networks.patches import PatchGrid, flips, scale_hu
from lung_nodules.networks.record import LinearHead
from lung_nodules.networks.runtime import Network
from lung_nodules.progress import Progress
from lung_nodules.settings import Settings
from lung_nodules.stages.covariates import covariate_inputs, read_covariates
from lung_nodules.stages.nodules import Nodule
from lung_nodules.stages.volume import Volume

RATING_SCALES = {  # LIDC's scales; internalStructure and calcification are classes, given as the expected class
    "subtlety": (1, 5),
    "internalStructure": (1, 4),
    "calcification": (1, 6),
    "sphericity": (1, 5),
    "margin": (1, 5),
    "lobulation": (1, 5),
    "spiculation": (1, 5),
    "texture": (1, 5),
}
LOG_OF = "log1p "  # before the name of a head's input
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Finding:
    """A nodule as reported."""

    nodule: Nodule
    finding_id: str  # "N1", "N2", ... by falling overall suspicion
    nodule_probability: float  # 0-1: a nodule, not a vessel or scar
    suspicion_score: float  # 0-1: readers' suspicion of malignancy given that it is a nodule
    characteristics: dict[str, float]  # LIDC characteristic in snake case -> expected reader rating on LIDC's scale

    @property
    def overall_suspicion(self) -> float:
        """Readers' suspicion of malignancy, 0-1, weighed with the doubt whether it is a nodule."""
        return self.nodule_probability * self.suspicion_score


def classify_nodules(
    volume: Volume, nodules: tuple[Nodule, ...], classifier: Network, settings: Settings, progress: Progress
) -> tuple[Finding, ...]:
    """Judge every nodule and keep the ones above the operating point.

    Args:
        volume: The CT, HU.
        nodules: Measured outlines.
        classifier: From cubes (n, 1, D, H, W) scaled to 0-1 to logits (n, outputs); its record names the outputs.
        settings: `Settings.classification` is read.
        progress: Told of each nodule.

    Raises:
        ModelRefusal: ``unknown-operating-point``.
    """
    limits = settings.classification
    _, point = classifier.record.operating_point(limits.operating_point)
    judged = []
    with progress.stage("classification", len(nodules)) as advance:
        for nodule in nodules:
            judged.append(_judge(volume, nodule, classifier, limits.num_flips))
            advance(1)
    kept = [finding for finding in judged if finding.nodule_probability >= point.threshold]
    kept.sort(key=lambda finding: (-finding.nodule_probability, finding.nodule.label))
    kept = kept[: limits.max_findings]
    kept.sort(key=lambda finding: (-finding.overall_suspicion, finding.nodule.label))
    return tuple(
        Finding(
            finding.nodule, f"N{number}", finding.nodule_probability, finding.suspicion_score, finding.characteristics
        )
        for number, finding in enumerate(kept, start=1)
    )


def read_cube(
    volume: Volume, center_ijk: npt.ArrayLike, classifier: Network, num_flips: int
) -> npt.NDArray[np.float32]:
    """The network's logits for the cube around a place, averaged over mirrored readings, (outputs,)."""
    fed = classifier.record.preprocessing
    grid = PatchGrid.centered(
        np.asarray(center_ijk, dtype=float), volume.geometry.spacing_mm, (fed.patch_voxels,) * 3, fed.spacing_mm
    )
    image = scale_hu(grid.sample(volume.array), fed.window_hu)
    batch = np.stack([np.flip(image, axes) for axes in flips(num_flips)])[:, None]
    return np.asarray(classifier(np.ascontiguousarray(batch)).mean(axis=0))


def read_inputs(volume: Volume, nodule: Nodule, classifier: Network, num_flips: int) -> dict[str, float]:
    """What the heads are given: the network's reading, the features, the finder's score, patient and scan."""
    read = read_cube(volume, nodule.center_ijk, classifier, num_flips)
    logits = dict(zip(classifier.record.outputs, read.tolist(), strict=True))
    known = covariate_inputs(read_covariates(volume.headers))
    return {**head_inputs(logits, nodule.features, nodule.candidate_score), **known}


def head_inputs(logits: Mapping[str, float], features: Mapping[str, float], candidate_score: float) -> dict[str, float]:
    """The named inputs of the heads: ``image.*`` logits, ``feature.*`` measurements and ``candidate.logit``."""
    score = float(np.clip(candidate_score, _SMALLEST, 1 - _SMALLEST))
    return {
        **{f"image.{name}": value for name, value in logits.items()},
        **{f"feature.{name}": value for name, value in features.items()},
        "candidate.logit": float(np.log(score / (1 - score))),
    }


def apply_head(head: LinearHead, inputs: Mapping[str, float]) -> float:
    """Evaluate a logistic regression of the record, 0-1."""
    standard = (head_values(head.inputs, inputs) - head.mean) / head.scale
    return float(expit(head.intercept + standard @ head.weights))


def head_values(names: Sequence[str], inputs: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """The values of a head's inputs; ``log1p NAME`` is the natural logarithm of one plus what is named."""
    values = [
        np.log1p(max(inputs[name.removeprefix(LOG_OF)], 0.0)) if name.startswith(LOG_OF) else inputs[name]
        for name in names
    ]
    return np.asarray(values, dtype=np.float64)


def rating(name: str, logit: float) -> float:
    """A characteristic's logit as an expected rating on LIDC's scale."""
    low, high = RATING_SCALES[name]
    return float(low + (high - low) * expit(logit))


def snake_case(lidc_name: str) -> str:
    """LIDC's name of a characteristic as the report spells all names."""
    return re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", lidc_name)


def _judge(volume: Volume, nodule: Nodule, classifier: Network, num_flips: int) -> Finding:
    record = classifier.record
    inputs = read_inputs(volume, nodule, classifier, num_flips)
    return Finding(
        nodule=nodule,
        finding_id="",
        nodule_probability=apply_head(record.heads["nodule"], inputs),
        suspicion_score=apply_head(record.heads["suspicion"], inputs),
        characteristics={
            snake_case(name): rating(name, inputs[f"image.{name}"]) for name in RATING_SCALES if name in record.outputs
        },
    )
