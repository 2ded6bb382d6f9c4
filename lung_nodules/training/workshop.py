"""Where a training run finds and leaves things, and how it reads them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.errors import UsageRefusal
from lung_nodules.evaluation.cohort_reading import MIN_MASKS
from lung_nodules.networks.opened import open_networks
from lung_nodules.networks.record import load_models
from lung_nodules.progress import Progress
from lung_nodules.settings import RuntimeSettings
from lung_nodules.training.backgrounds import Background, BackgroundSettings, read_backgrounds
from lung_nodules.training.needed import needed
from lung_nodules.training.pseudo import PseudoSettings, read_pseudo_crops, write_pseudo_crops
from lung_nodules.training.publishing import git_commit
from lung_nodules.training.ranks import first_rank_first, this_rank


@dataclass(frozen=True)
class Workshop:
    """Where a training run finds and leaves things."""

    crops: Path  # a folder of nodule crops
    scans: Path  # a folder of whole scans whose patients train
    run: Path  # for the checkpoint and the log
    models: Path  # the models folder; the others' models are read from it
    resume: bool = False
    initial: Path | None = None  # a folder whose weights the network starts from
    pretrained: str | None = None  # hub id or folder of the ImageNet encoder
    pseudo: Path | None = None  # unlabelled scans that the outliner learns from, too
    commit: str = field(default_factory=git_commit)  # of the source tree as the run begins


def read_cohort(workshop: Workshop) -> tuple[tuple[NoduleCrop, ...], ...]:
    """The crops that train, tune and test.

    Raises:
        InputRefusal: ``no-crops``, ``bad-crops``; ``too-few-nodules`` where none that trains is outlined, and no
            unlabelled scans stand in for them.
    """
    sides = tuple(read_crops(workshop.crops, [side]) for side in (Split.TRAIN, Split.VALIDATION, Split.TEST))
    if workshop.pseudo is None:
        needed((crop for crop in sides[0] if crop.consensus.any()), "with an outline on the training side")
    return sides


def read_scans(workshop: Workshop, spacing_mm: float) -> tuple[Background, ...]:
    """The whole scans that train; makes the folder of the run, and a cache of resampled scans beside it."""
    workshop.run.mkdir(parents=True, exist_ok=True)
    with first_rank_first():
        return read_backgrounds(
            workshop.scans, BackgroundSettings(spacing_mm=spacing_mm), workshop.run.parent / "cache"
        )


def find_pseudo_crops(
    workshop: Workshop, labelled: Sequence[NoduleCrop], settings: PseudoSettings, progress: Progress
) -> tuple[NoduleCrop, ...]:
    """What the models in hand find in the unlabelled scans, kept in the folder of the run; none where no scans are.

    Raises:
        UsageRefusal: ``bad-usage`` where a run is resumed that was begun with such scans and is to go on without, or
            the other way round; ``no-pseudo-labels`` where nothing is kept.
    """
    folder = workshop.run / "pseudo"
    if workshop.resume and folder.exists() != (workshop.pseudo is not None):
        raise UsageRefusal("bad-usage", "A run is resumed with --pseudo if it was begun with it, and else without.")
    if workshop.pseudo is None:
        shutil.rmtree(folder, ignore_errors=True)
        return ()
    with first_rank_first():
        if this_rank().is_first and not workshop.resume:
            networks = open_networks(load_models(workshop.models), RuntimeSettings())
            series = {crop.series_instance_uid for crop in labelled}
            write_pseudo_crops(workshop.pseudo, folder, networks, series, settings, progress)
    return read_pseudo_crops(folder)


def well_read(crops: Sequence[NoduleCrop]) -> list[NoduleCrop]:
    """Nodules that at least three readers outlined."""
    return [crop for crop in _outlined(crops) if crop.num_masks >= MIN_MASKS]


def tuning_nodules(validation: Sequence[NoduleCrop]) -> list[NoduleCrop]:
    """The nodules by which weights and threshold are chosen: the well-read ones; without any, all that are outlined.

    Raises:
        InputRefusal: ``too-few-nodules`` where no nodule is outlined.
    """
    return well_read(validation) or needed(_outlined(validation), "with an outline on the validation side")


def _outlined(crops: Sequence[NoduleCrop]) -> list[NoduleCrop]:
    """Nodules on their scan's own grid with a consensus."""
    return [crop for crop in crops if crop.kind == "slices" and crop.consensus.any()]
