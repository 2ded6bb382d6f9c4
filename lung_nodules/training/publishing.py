"""From a finished run to a model folder with its record."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import nn

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.cohorts.split import name_of_split
from lung_nodules.networks.record import Model, ModelRecord, Score, write_model
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.loop import Run, TrainingSettings
from lung_nodules.training.pseudo import PSEUDO
from lung_nodules.training.ranks import leave_to_first_rank
from lung_nodules.training.segmentation import WINDOW_HU

MODEL_LICENCE = "Apache-2.0"
DATA_LICENCE = "CC BY 3.0 (LIDC-IDRI and CPTAC, The Cancer Imaging Archive)"


def publish(
    folder: Path,
    network: nn.Module,
    run: Run,
    settings: TrainingSettings,
    crops: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    scores: Sequence[Score],
    fields: Mapping[str, Any],
    *,
    started_from: Model | None = None,
) -> ModelRecord:
    """Write the averaged network and its record.

    Args:
        folder: The model folder.
        network: What is published.
        run: For steps and time.
        settings: The training settings, kept whole in the record.
        crops: What it was trained on.
        backgrounds: What else it was trained on.
        scores: Figures on patients that did not train.
        fields: The other fields of `ModelRecord`; the preprocessing only where it is not the training's.
        started_from: The model whose weights the network began with, so that the record tells all of its training.

    Raises:
        RankFinished: This is not the first rank, which alone publishes.
    """
    leave_to_first_rank()
    num_pseudo = sum(crop.kind == PSEUDO for crop in crops)
    pseudo = [f"{num_pseudo} pseudo nodules, outlined by the models in hand in unlabelled scans"] if num_pseudo else []
    patients = {crop.patient_id for crop in crops} | {background.name for background in backgrounds}
    preprocessing = {
        "spacing_mm": settings.cube.spacing_mm,
        "window_hu": WINDOW_HU,
        "patch_voxels": settings.cube.voxels,
    }
    record = {
        "version": "1",
        "licence": MODEL_LICENCE,
        "preprocessing": preprocessing,
        "data": {
            "cohorts": [
                "LIDC-IDRI nodule crops",
                "whole scans: " + ", ".join(sorted(b.name for b in backgrounds)),
                *pseudo,
            ],
            "num_patients": len(patients),
            "num_examples": len(crops),
            "split": f"train side of {name_of_split()}, by patient",
            "licence": DATA_LICENCE,
        },
        "training": {
            "steps": run.step,
            "wall_time": str(timedelta(seconds=round(run.seconds))),
            **({"started_from": _in_words(started_from.record)} if started_from else {}),
            "settings": settings.model_dump(mode="json"),
        },
        "scores": [score.model_dump() for score in scores],
        **fields,
    }
    return write_model(folder, network, record)


def _in_words(record: ModelRecord) -> str:
    steps, minutes = record.training.get("steps", "unknown"), record.training.get("wall_time", "unknown")
    return f"{record.name}, weights {record.weights_sha256[:12]}, after {steps} steps in {minutes}"


def git_commit() -> str:
    """The commit of this source tree, marked where files differ from it; "unknown" outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603  # fixed words

    try:
        commit, altered = (
            git("rev-parse", "HEAD"),
            git("status", "--porcelain", "--untracked-files=no", "--", str(here)),
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}, with changes" if altered else commit
