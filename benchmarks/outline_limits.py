"""What limits the outliner: its Dice on patients that trained beside others, the best threshold, and the readers.

Were the data too few, the outline would be better where it was learned. Were the threshold wrong, the best one a nodule
would gain much. Where readers differ, nobody can agree with all of them: two readers' union against the other two's
is what half of a panel tells of the other half.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

from lung_nodules.cohorts.crops import MAX_READERS, NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.evaluation.bootstrap import mean_figure
from lung_nodules.evaluation.crops import nearest_outline, read_crop
from lung_nodules.evaluation.overlap import dice
from lung_nodules.evaluation.quoting import in_words
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.build import load_network
from lung_nodules.networks.record import load_model

REPOSITORY = Path(__file__).resolve().parents[1]
THRESHOLDS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9)


def readers_by_halves(crop: NoduleCrop) -> float | None:
    """Mean Dice of two readers' union against the other two's, over the three ways; None without four masks."""
    masks = [mask for bit in range(MAX_READERS) if (mask := (crop.masks >> bit & 1).astype(bool)).any()]
    if len(masks) != MAX_READERS:
        return None
    pairs = [pair for pair in combinations(range(MAX_READERS), 2) if 0 in pair]
    rests = [[other for other in range(MAX_READERS) if other not in pair] for pair in pairs]
    halves = zip(pairs, rests, strict=True)
    return float(np.mean([dice(masks[a] | masks[b], masks[c] | masks[d]) for (a, b), (c, d) in halves]))


def main() -> None:
    """Print a line a side of the split: Dice, Dice at each nodule's best threshold, readers by halves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=Path, default=REPOSITORY.parent / "shared" / "data" / "lidc-nodules")
    parser.add_argument("--nodules", type=int, default=150, help="Of each side, drawn by seed.")
    given = parser.parse_args()
    model = load_model(REPOSITORY / "models" / "segmentation")
    read, fed, threshold = (
        reader(load_network(model)),
        model.record.preprocessing,
        model.record.operating_point()[1].threshold,
    )
    for side in Split:
        crops = [
            crop
            for crop in read_crops(given.crops, [side], ("slices",))
            if crop.num_masks >= 3 and crop.consensus.any()
        ]
        chosen = [crops[int(number)] for number in np.random.default_rng(0).permutation(len(crops))[: given.nodules]]
        rows: dict[str, list[tuple[str, float]]] = {"Dice": [], "best threshold": [], "two readers, other two": []}
        for crop in chosen:
            reading = read_crop(read, crop, fed, 1)
            at = {
                value: dice(nearest_outline(reading, value, crop), crop.consensus) for value in (*THRESHOLDS, threshold)
            }
            rows["Dice"].append((crop.patient_id, at[threshold]))
            rows["best threshold"].append((crop.patient_id, max(at.values())))
            if (halves := readers_by_halves(crop)) is not None:
                rows["two readers, other two"].append((crop.patient_id, halves))
        told = (f"{name} {in_words(mean_figure(*zip(*members, strict=True)))}" for name, members in rows.items())
        print(f"{side.value}: {'; '.join(told)}")  # noqa: T201  # what the script is for


if __name__ == "__main__":
    main()
