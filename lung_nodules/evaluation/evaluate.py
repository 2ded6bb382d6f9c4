"""What `lung-nodules evaluate` runs: a cohort and a models folder in, figures and their evidence out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lung_nodules import __version__
from lung_nodules.cohorts.scans import ReferenceScan
from lung_nodules.evaluation.book import FigureBook
from lung_nodules.evaluation.bootstrap import mean_figure
from lung_nodules.evaluation.cohort_reading import Side, describe_patients, read_judged_crops, read_judged_scans
from lung_nodules.evaluation.composites import judge_composite, num_composites, plan_composites, read_grounds
from lung_nodules.evaluation.crops import JudgedCrop, judge_crop
from lung_nodules.evaluation.detection import add_detection_figures, curve_of
from lung_nodules.evaluation.figures import Figure
from lung_nodules.evaluation.forest import add_forest_figures, find_forest
from lung_nodules.evaluation.froc import Froc
from lung_nodules.evaluation.key_slices import KeySlice
from lung_nodules.evaluation.outlines import OutlineRow, add_outline_figures, compare_outline
from lung_nodules.evaluation.scans import JudgedScan, judge_scan
from lung_nodules.evaluation.suspicion import ABOVE_BELOW, Question, add_suspicion_figures, questions
from lung_nodules.networks.opened import Networks, open_networks
from lung_nodules.networks.record import ModelRecord, Models, OperatingPoint, load_models
from lung_nodules.progress import Progress
from lung_nodules.settings import Settings
from lung_nodules.timings import Stopwatch, peak_memory_mib

FILLING = "beyond a crop's end slices the end slice is repeated"
SCANS_IN_WORDS = "whole scans, nodules of >= 3 readers; outlines of those found at the default operating point"
HITS_IN_WORDS = "LUNA16's rules; marks on findings of fewer readers, below 3 mm or of no nodule do not count"
CENTER = "centroid of the readers' consensus with a seeded error of up to 2 mm an axis"


@dataclass(frozen=True)
class Evaluation:
    """The figures of one run and what they were made from."""

    title: str
    about: Mapping[str, str]  # how it was measured, in words
    book: FigureBook
    outlines: Sequence[OutlineRow]  # one a nodule
    key_slices: Sequence[KeySlice] = field(repr=False)  # in the order of `outlines`
    crops: Sequence[JudgedCrop] = field(default=(), repr=False)  # in that order; none for scans
    suspicion: Question | None = None  # above 3 against below 3
    froc: Froc | None = None

    def document(self) -> dict[str, Any]:
        """What `--json` writes: the figures by name, and how they were measured."""
        return {"about": {"title": self.title, **self.about}, **self.book.tree()}

    def evidence(self) -> dict[str, Any]:
        """The rows behind the figures, without patients."""
        rows = [{name: value for name, value in asdict(row).items() if name != "patient_id"} for row in self.outlines]
        for row, judged in zip(rows, self.crops, strict=False):
            row |= {"mean_malignancy": judged.crop.ratings["malignancy"], "suspicion": judged.suspicion}
        return {"nodules": rows}


def evaluate_crops(
    folder: Path, lungs: Path | None, models_folder: Path, side: Side, settings: Settings, progress: Progress
) -> Evaluation:
    """Judge outlines and suspicion on nodule crops; with a folder of whole scans, detection on composites too.

    Raises:
        InputRefusal: A folder cannot be read, or has nothing of this side.
        ModelRefusal: A model is missing, altered or does not fit this version.
    """
    crops = read_judged_crops(folder, side)
    models = load_models(models_folder)
    networks, forest = open_networks(models, settings.runtime), find_forest(models_folder)
    judged, seconds = [], []
    with progress.stage("crops", len(crops)) as advance:
        for crop in crops:
            watch = Stopwatch()
            judged.append(judge_crop(crop, networks, settings, watch))
            seconds.append(watch.seconds)
            advance(1)
    rows = [_row_of(one) for one in judged]
    book = FigureBook()
    add_outline_figures(book, "segmentation", rows)
    asked = questions(judged, models.classification.record.heads["suspicion"].threshold)
    add_suspicion_figures(book, asked)
    if forest:
        add_forest_figures(book, judged, forest)
    about = {
        "cohort": "nodule crops of >= 3 masks, native grid",
        "patients": describe_patients([crop.patient_id for crop in crops], side),
        "centre": CENTER,
        "filling": FILLING,
        **_models_in_words(models, networks),
    }
    curve = None
    if lungs:
        composites = _judge_composites(judged, lungs, networks, side, settings, progress)
        curve = _add_composites(book, composites, models)
        about["composites"] = _composites_in_words(composites, len(crops))
    _add_system(book, "seconds", [crop.nodule_id for crop in crops], seconds)
    _add_models(book, models)
    return Evaluation(
        "Nodule crops",
        about,
        book,
        rows,
        [one.key_slice for one in judged],
        judged,
        asked[ABOVE_BELOW],
        curve,
    )


def evaluate_scans(folder: Path, models_folder: Path, side: Side, settings: Settings, progress: Progress) -> Evaluation:
    """Judge the whole line on whole scans.

    Raises:
        InputRefusal: A folder or a scan cannot be read, or has nothing of this side.
        ModelRefusal: A model is missing, altered or does not fit this version.
    """
    scans = read_judged_scans(folder, side)
    models = load_models(models_folder)
    networks = open_networks(models, settings.runtime)
    judged = judge_scans(scans, networks, settings, progress)
    about = {
        "cohort": SCANS_IN_WORDS,
        "patients": describe_patients([scan.patient_id for scan in scans], side),
        "hits": HITS_IN_WORDS,
        **_models_in_words(models, networks),
    }
    return scan_evaluation("Whole scans", about, judged, models, models.classification.record.operating_points)


def judge_scans(
    scans: Sequence[ReferenceScan], networks: Networks, settings: Settings, progress: Progress
) -> list[JudgedScan]:
    """`judge_scan` for each."""
    judged = []
    with progress.stage("scans", len(scans)) as advance:
        for scan in scans:
            judged.append(judge_scan(scan, networks, settings))
            advance(1)
    return judged


def scan_evaluation(
    title: str,
    about: Mapping[str, str],
    judged: Sequence[JudgedScan],
    models: Models,
    points: Mapping[str, OperatingPoint],
) -> Evaluation:
    """The figures of judged scans.

    Args:
        title: Of the report.
        about: How it was measured.
        judged: The evidence.
        models: For their sizes.
        points: Operating points of all scans; none where the scans were read by models of their own.
    """
    book = FigureBook()
    _add_scan_outlines(book, "segmentation", judged)
    add_detection_figures(book, judged, points)
    _add_system(book, "seconds", [scan.name for scan in judged], [scan.seconds for scan in judged])
    _add_models(book, models)
    matched = [drawn for scan in judged for drawn in scan.matched]
    rows, key_slices = [drawn.row for drawn in matched], [drawn.key_slice for drawn in matched]
    return Evaluation(title, about, book, rows, key_slices, froc=curve_of(judged))


def _row_of(judged: JudgedCrop) -> OutlineRow:
    crop = judged.crop
    return compare_outline(
        crop.patient_id, crop.nodule_id, crop.diameter_mm, judged.outline, crop.consensus, crop.spacing_mm
    )


def _judge_composites(
    judged: Sequence[JudgedCrop],
    lungs: Path,
    networks: Networks,
    side: Side,
    settings: Settings,
    progress: Progress,
) -> list[JudgedScan]:
    crops = [one.crop for one in judged]
    grounds = read_grounds(lungs, side)
    composites = []
    with progress.stage("composites", num_composites(len(crops))) as advance:
        for name, ground, composite in plan_composites(crops, grounds):
            composites.append(judge_composite(name, ground, composite, networks, settings))
            advance(1)
    return composites


def _add_composites(book: FigureBook, composites: Sequence[JudgedScan], models: Models) -> Froc:
    add_detection_figures(book, composites, models.classification.record.operating_points)
    _add_scan_outlines(book, "segmentation/on_composites", composites)
    _add_system(book, "seconds_per_composite", [one.name for one in composites], [one.seconds for one in composites])
    return curve_of(composites)


def _add_scan_outlines(book: FigureBook, prefix: str, scans: Sequence[JudgedScan]) -> None:
    """Outlines at the operating point of the scans: of the nodules found; of all, an empty one where one is missed."""
    add_outline_figures(book, prefix, [drawn.row for scan in scans for drawn in scan.matched])
    every = [row for scan in scans for row in scan.outlines_at(scan.threshold)]
    add_outline_figures(book, f"{prefix}/missed_as_0", every)


def _composites_in_words(composites: Sequence[JudgedScan], num_crops: int) -> str:
    pasted = sum(len(one.included) for one in composites)
    return (
        f"{pasted} of {num_crops} nodules pasted into lungs, {len(composites)} composite scans; {num_crops - pasted} "
        "found no place. A seam may give a nodule away or hide it: not the same as real scans"
    )


def _models_in_words(models: Models, networks: Networks) -> dict[str, str]:
    names = {model.record.kind: model_in_words(model.record) for model in models}
    ran = networks.outliner.identity
    return {**names, "runtime": f"{ran.runtime}, {ran.device}", "version": __version__}


def model_in_words(record: ModelRecord) -> str:
    """Name, weights, and a digest of what else decides: heads, operating points and preprocessing."""
    decisive = {"heads", "operating_points", "default_operating_point", "preprocessing"}
    digest = hashlib.sha256(record.model_dump_json(include=decisive).encode()).hexdigest()
    return f"{record.name}, weights {record.weights_sha256[:12]}, settings {digest[:12]}"


def _add_system(book: FigureBook, name: str, items: Sequence[str], seconds: Sequence[Mapping[str, float]]) -> None:
    """Mean seconds of each stage an item."""
    for stage in dict.fromkeys(stage for one in seconds for stage in one):
        book.measure(f"system/{name}/{stage}", mean_figure, items, [one.get(stage, 0.0) for one in seconds])
    totals = [sum(one.values()) for one in seconds]
    book.measure(f"system/{name}/total", mean_figure, items, totals)


def _add_models(book: FigureBook, models: Iterable[Any]) -> None:
    """Size of each model, and the largest memory of this process so far."""
    for model in models:
        book.put(f"system/model_mb/{model.record.kind}", Figure(value=model.weights.stat().st_size / 1e6, n=1))
    book.put("system/peak_memory_mib", Figure(value=peak_memory_mib(), n=1))
