"""What the lung above and below a crop does: outliners that were taught with it in none, some or all of their cubes.

Most crops end where their nodule does. `cube.lung_context` is the share of training cubes that get real lung of another
scan there; the others repeat the end slice. Each outliner is judged on validation patients: crops that end (as
`segmentation.dice` is judged, the end slice repeated) and crops with their own full context.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lung_nodules.cohorts.crops import read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.evaluation.bootstrap import mean_figure
from lung_nodules.evaluation.crops import crop_dice
from lung_nodules.evaluation.quoting import in_words
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.build import load_network
from lung_nodules.networks.record import load_model

REPOSITORY = Path(__file__).resolve().parents[1]
KINDS = {"slices": "end slice repeated", "iso": "full context"}


def main() -> None:
    """Print a line an outliner: Dice on either kind of crop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", help="Folders that hold segmentation/, of `train compare`.")
    parser.add_argument("--crops", type=Path, default=REPOSITORY.parent / "shared" / "data" / "lidc-nodules")
    given = parser.parse_args()
    judged = [crop for crop in read_crops(given.crops, [Split.VALIDATION]) if crop.num_masks >= 3]
    for folder in given.models:
        model = load_model(folder / "segmentation")
        read, threshold = reader(load_network(model)), model.record.operating_point()[1].threshold
        told = []
        for kind, words in KINDS.items():
            crops = [crop for crop in judged if crop.kind == kind and crop.consensus.any()]
            values = crop_dice(read, crops, model.record.preprocessing, threshold, num_flips=8)
            told.append(f"{words} {in_words(mean_figure([crop.patient_id for crop in crops], values))}")
        print(f"{folder}: {'; '.join(told)}")  # noqa: T201  # what the script is for


if __name__ == "__main__":
    main()
