"""Findings of a classifier whose logits can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from drawn_balls import AXIAL, record_of

from lung_nodules.errors import ModelRefusal
from lung_nodules.networks.patches import flips
from lung_nodules.networks.record import LinearHead
from lung_nodules.networks.runtime import Batch, RuntimeIdentity
from lung_nodules.progress import SilentProgress
from lung_nodules.settings import ClassificationSettings, Settings
from lung_nodules.stages.classification import (
    RATING_SCALES,
    Finding,
    apply_head,
    classify_nodules,
    head_inputs,
    rating,
    read_cube,
)
from lung_nodules.stages.nodules import Nodule
from lung_nodules.stages.volume import Geometry, Volume

ONE_TO_ONE = {"mean": [0.0], "scale": [1.0], "weights": [1.0], "intercept": 0.0}
NOBODY: Any = dict.fromkeys(Nodule.__dataclass_fields__)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


class CornerAndMean:
    """A classifier with two logits: four times the cube's mean, and its first voxel."""

    identity = RuntimeIdentity("arithmetic", "cpu")

    def __init__(self, threshold: float = 0.0, **fields: Any) -> None:
        points = {
            "usual": {"threshold": threshold, "chosen_on": "nothing"},
            "strict": {"threshold": 0.9, "chosen_on": "nothing"},
        }
        heads = {
            "nodule": {**ONE_TO_ONE, "inputs": ["image.nodule"]},
            "suspicion": {**ONE_TO_ONE, "inputs": ["feature.size"]},
        }
        self.record = record_of(
            "classification",
            8,
            **{
                "outputs": ["nodule", "texture"],
                "heads": heads,
                "operating_points": points,
                "default_operating_point": "usual",
            }
            | fields,
        )
        self.batches: list[Batch] = []

    def __call__(self, batch: Batch) -> Batch:
        self.batches.append(batch)
        return np.stack([4 * batch.mean(axis=(1, 2, 3, 4)), batch[:, 0, 0, 0, 0]], axis=1)


def steps_of(levels: list[float]) -> Volume:
    """Slabs of 20 slices, 1 mm; level 0 is black in the network's eyes, 1 white."""
    hu = np.repeat([-1000 + 1400 * level for level in levels], 20)
    array = np.ascontiguousarray(np.broadcast_to(hu[:, None, None], (len(hu), 20, 20)).astype(np.int16))
    return Volume(array, Geometry((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), AXIAL, array.shape))


def nodule_at(slice_index: float, label: int, size: float = 0.0, score: float = 0.5) -> Nodule:
    """A nodule of which the classifier reads place, label, score and features."""
    return Nodule(
        **NOBODY
        | {
            "label": label,
            "center_ijk": (slice_index, 9.5, 9.5),
            "features": {"size": size},
            "candidate_score": score,
        }
    )


def classify(
    volume: Volume, nodules: Sequence[Nodule], classifier: CornerAndMean, **limits: Any
) -> tuple[Finding, ...]:
    chosen = Settings(classification=ClassificationSettings(**limits))
    return classify_nodules(volume, tuple(nodules), classifier, chosen, SilentProgress())


class TestFindings:
    volume = steps_of([0.25, 0.5, 0.75])
    nodules = (nodule_at(9.5, 1, size=3.0), nodule_at(29.5, 2, size=-1.0), nodule_at(49.5, 3, size=1.0))

    def test_they_come_by_falling_overall_suspicion_and_are_numbered(self) -> None:
        findings = classify(self.volume, self.nodules, CornerAndMean())
        assert [(finding.finding_id, finding.nodule.label) for finding in findings] == [("N1", 1), ("N2", 3), ("N3", 2)]
        assert [finding.suspicion_score for finding in findings] == pytest.approx([sigmoid(3), sigmoid(1), sigmoid(-1)])
        assert findings[0].overall_suspicion == pytest.approx(sigmoid(1) * sigmoid(3), abs=1e-4)
        probabilities = {finding.nodule.label: finding.nodule_probability for finding in findings}
        expected = {1: sigmoid(1), 2: sigmoid(2), 3: sigmoid(3)}  # four times 0.25, 0.5, 0.75
        assert probabilities == pytest.approx(expected, abs=1e-4)

    def test_what_is_hardly_a_nodule_comes_after_a_sure_one_however_suspicious_it_would_be(self) -> None:
        vessel, nodule = nodule_at(9.5, 1, size=8.0), nodule_at(29.5, 2, size=1.0)
        findings = classify(steps_of([0.0, 0.75]), [vessel, nodule], CornerAndMean())
        assert [finding.nodule.label for finding in findings] == [2, 1]
        assert findings[1].suspicion_score > 0.99 > findings[0].suspicion_score
        assert findings[1].overall_suspicion == pytest.approx(0.5, abs=1e-3)  # of the vessel: 0.5 x 1

    def test_the_operating_point_keeps_what_reaches_it(self) -> None:
        findings = classify(self.volume, self.nodules, CornerAndMean(threshold=0.85))
        assert [finding.nodule.label for finding in findings] == [3, 2]
        assert [finding.finding_id for finding in findings] == ["N1", "N2"]

    def test_another_operating_point_can_be_named(self) -> None:
        findings = classify(self.volume, self.nodules, CornerAndMean(), operating_point="strict")
        assert [finding.nodule.label for finding in findings] == [3]

    def test_an_unknown_operating_point_is_refused(self) -> None:
        with pytest.raises(ModelRefusal, match="it has strict, usual") as refused:
            classify(self.volume, self.nodules, CornerAndMean(), operating_point="lax")
        assert refused.value.code == "unknown-operating-point"

    def test_a_cap_keeps_the_likeliest_nodules(self) -> None:
        findings = classify(self.volume, self.nodules, CornerAndMean(), max_findings=2)
        assert [finding.nodule.label for finding in findings] == [3, 2]  # 1 is the least likely, though most suspicious

    def test_equal_ones_come_by_label(self) -> None:
        same = [nodule_at(9.5, label) for label in (3, 1, 2)]
        assert [finding.nodule.label for finding in classify(self.volume, same, CornerAndMean())] == [1, 2, 3]

    def test_no_nodule_is_no_finding(self) -> None:
        assert classify(self.volume, [], CornerAndMean()) == ()

    def test_characteristics_are_those_that_the_network_gives(self) -> None:
        (finding,) = classify(self.volume, self.nodules[1:2], CornerAndMean())
        assert finding.characteristics == pytest.approx({"texture": 1 + 4 * sigmoid(0.5)}, abs=1e-4)

    def test_characteristics_are_named_in_snake_case(self) -> None:
        classifier = CornerAndMean(outputs=["nodule", "internalStructure"])
        (finding,) = classify(self.volume, self.nodules[1:2], classifier)
        assert finding.characteristics == pytest.approx({"internal_structure": 1 + 3 * sigmoid(0.5)}, abs=1e-4)


class TestTheCube:
    def test_it_is_read_around_the_place_at_the_record_s_spacing(self) -> None:
        classifier = CornerAndMean(preprocessing={"spacing_mm": 2.0, "window_hu": (-1000.0, 400.0), "patch_voxels": 8})
        read_cube(steps_of([0.0, 1.0]), (19.5, 9.5, 9.5), classifier, 1)
        (batch,) = classifier.batches
        assert batch.shape == (1, 1, 8, 8, 8)
        assert batch.dtype == np.float32
        np.testing.assert_allclose(batch[0, 0, :, 4, 4], [0, 0, 0, 0, 1, 1, 1, 1], atol=1e-6)

    @pytest.mark.parametrize("num_flips", [1, 4, 8])
    def test_mirrored_readings_are_averaged(self, num_flips: int) -> None:
        volume = steps_of([0.0])
        volume.array[:] = np.random.default_rng(0).integers(-1000, 400, volume.array.shape)
        classifier = CornerAndMean()
        logits = read_cube(volume, (9.5, 9.5, 9.5), classifier, num_flips)
        cube = (volume.array[6:14, 6:14, 6:14] + 1000) / 1400
        corners = [float(np.flip(cube, axes)[0, 0, 0]) for axes in flips(num_flips)]
        assert [len(batch) for batch in classifier.batches] == [num_flips]
        np.testing.assert_allclose(logits, [4 * cube.mean(), np.mean(corners)], rtol=1e-4)


class TestHeads:
    def test_a_head_is_a_logistic_regression_on_named_inputs(self) -> None:
        head = LinearHead(inputs=("b", "a"), mean=(10.0, 1.0), scale=(4.0, 2.0), weights=(0.5, -1.0), intercept=0.25)
        # b: (12 - 10) / 4 = 0.5 times 0.5; a: (5 - 1) / 2 = 2 times -1
        assert apply_head(head, {"a": 5.0, "b": 12.0, "other": 99.0}) == pytest.approx(sigmoid(0.25 + 0.25 - 2))

    def test_a_head_may_take_the_logarithm_of_an_input(self) -> None:
        head = LinearHead(inputs=("log1p a", "a"), mean=(0, 0), scale=(1, 1), weights=(2.0, 1.0), intercept=0)
        assert apply_head(head, {"a": math.e - 1}) == pytest.approx(sigmoid(2 + math.e - 1))
        assert apply_head(head, {"a": -0.5}) == pytest.approx(sigmoid(-0.5))

    def test_the_inputs_are_named_by_where_they_come_from(self) -> None:
        inputs = head_inputs({"nodule": 1.5}, {"volume_mm3": 20.0}, 0.8)
        assert inputs == pytest.approx(
            {"image.nodule": 1.5, "feature.volume_mm3": 20.0, "candidate.logit": math.log(4)}
        )

    @pytest.mark.parametrize("score", [0.0, 1.0])
    def test_a_sure_candidate_has_a_finite_logit(self, score: float) -> None:
        logit = head_inputs({}, {}, score)["candidate.logit"]
        assert abs(logit) == pytest.approx(math.log(1e6), rel=1e-3)
        assert (logit > 0) == (score > 0.5)

    def test_the_candidate_s_score_reaches_the_heads(self) -> None:
        heads = {name: {**ONE_TO_ONE, "inputs": ["candidate.logit"]} for name in ("nodule", "suspicion")}
        (finding,) = classify(steps_of([0.5]), [nodule_at(9.5, 1, score=0.3)], CornerAndMean(heads=heads))
        assert finding.nodule_probability == pytest.approx(0.3)

    @pytest.mark.parametrize("logit", [-2000.0, 2000.0])
    def test_an_extreme_input_gives_a_limit_and_no_warning(self, logit: float) -> None:
        head = LinearHead(inputs=("a",), mean=(0.0,), scale=(1.0,), weights=(1.0,), intercept=0.0)
        assert apply_head(head, {"a": logit}) == (0 if logit < 0 else 1)
        assert rating("texture", logit) == (1 if logit < 0 else 5)


@pytest.mark.parametrize("name", RATING_SCALES)
def test_ratings_lie_on_lidc_s_scales(name: str) -> None:
    lowest, highest = 1, {"internalStructure": 4, "calcification": 6}.get(name, 5)
    assert rating(name, -40) == pytest.approx(lowest)
    assert rating(name, 40) == pytest.approx(highest)
    assert rating(name, 0) == (lowest + highest) / 2


def test_a_view_of_mirrored_cubes_is_handed_on_in_order() -> None:
    class NeedsOrder(CornerAndMean):
        def __call__(self, batch: npt.NDArray[np.float32]) -> Batch:
            assert batch.flags.c_contiguous  # torch takes no negative strides
            return super().__call__(batch)

    classify(steps_of([0.5]), [nodule_at(9.5, 1)], NeedsOrder(), num_flips=8)
