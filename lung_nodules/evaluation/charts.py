"""The pictures of an evaluation, one PNG each; a picture for which there is nothing is not drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lung_nodules.evaluation.calibration import reliability
from lung_nodules.evaluation.comparison import comparison_data
from lung_nodules.evaluation.discrimination import confusion, pr_curve, roc_curve
from lung_nodules.evaluation.evaluate import Evaluation
from lung_nodules.evaluation.froc import FPS_PER_SCAN, Froc
from lung_nodules.evaluation.key_slices import KeySlice
from lung_nodules.evaluation.outlines import OutlineRow
from lung_nodules.evaluation.suspicion import Question

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

OURS, RULER, IMAGE, READERS, GRID = "#4f46e5", "#9ca3af", "#0d9488", "#f59e0b", "#e5e7eb"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#6b7280",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
WINDOW_HU = (-1350.0, 150.0)  # the customary lung window, -600 and 1500
SHOWN = 6  # nodules in each picture of masks
DOTS_PER_INCH = 144


def draw_charts(evaluation: Evaluation, folder: Path) -> dict[str, Path]:
    """Draw all pictures that the evaluation has data for; their files by caption."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    drawn: dict[str, Path] = {}

    def draw(caption: str, name: str, size: tuple[float, float], fill: Callable[[Canvas], None]) -> None:
        canvas = Canvas(figsize=size, layout="constrained")
        fill(canvas)
        path = folder / f"{name}.png"
        canvas.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
        drawn[caption] = path

    with mpl.rc_context(STYLE):
        asked = evaluation.suspicion
        if asked is not None and 0 < asked.positive.sum() < len(asked.positive):
            draw("ROC of the suspicion, beside the ruler", "roc", (5, 4.5), lambda canvas: _roc(canvas, asked))
            draw("Precision and recall", "pr", (5, 4.5), lambda canvas: _precision(canvas, asked))
            draw("Confusion at the threshold", "confusion", (4.2, 4), lambda canvas: _confusion(canvas, asked))
            draw("Reliability of the suspicion", "reliability", (5, 4.5), lambda canvas: _reliability(canvas, asked))
        curve = evaluation.froc
        if curve is not None and curve.num_lesions:
            draw("FROC", "froc", (5.5, 4.5), lambda canvas: _froc(canvas, curve))
        if evaluation.outlines:
            draw("Dice by size", "dice", (5.5, 4.5), lambda canvas: _dice(canvas, evaluation.outlines))
        if evaluation.key_slices:
            for name, rows in chosen_rows(evaluation.outlines).items():
                shown = [(evaluation.key_slices[row], evaluation.outlines[row]) for row in rows]
                caption = "The outlines" if name == "all" else f"The {name} outlines"
                draw(caption, f"masks_{name}", (2.2 * len(shown), 2.6), partial(_masks, shown=shown))
        compared = comparison_data(evaluation.book)["data"]
        if compared["datasets"]:
            draw("Models side by side", "comparison", (9, 4.2), lambda canvas: _comparison(canvas, compared))
    return drawn


def _roc(canvas: Canvas, asked: Question) -> None:
    axes = _square(canvas, "1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    for label, values, colour in _scores(asked):
        curve = roc_curve(asked.positive, values)
        axes.plot(curve.x, curve.y, color=colour, label=label, linewidth=1.8)
    axes.legend(loc="lower right")


def _precision(canvas: Canvas, asked: Question) -> None:
    axes = _square(canvas, "recall", "precision")
    axes.axhline(float(asked.positive.mean()), color=GRID, linewidth=1)
    for label, values, colour in _scores(asked):
        curve = pr_curve(asked.positive, values)
        axes.plot(curve.x, curve.y, color=colour, label=label, linewidth=1.8)
    axes.legend(loc="lower left")


def _scores(asked: Question) -> list[tuple[str, npt.NDArray[np.float64], str]]:
    scores = [("diameter alone", asked.diameter_mm, RULER)]
    if asked.image is not None:
        scores.append(("image alone", asked.image, IMAGE))
    return [*scores, ("as reported", asked.suspicion, OURS)]


def _confusion(canvas: Canvas, asked: Question) -> None:
    counts = confusion(asked.positive, asked.suspicion, asked.threshold)
    table = np.array(
        [
            [counts.num_true_negative, counts.num_false_positive],
            [counts.num_false_negative, counts.num_true_positive],
        ]
    )
    axes = canvas.subplots()
    axes.imshow(table, cmap="Purples", vmin=0, vmax=max(int(table.max()) * 1.6, 1))
    for (row, column), count in np.ndenumerate(table):
        axes.text(column, row, str(count), ha="center", va="center", fontsize=18)
    axes.set_xticks([0, 1], [f"below {asked.threshold:g}", f"from {asked.threshold:g}"])
    axes.set_yticks([0, 1], ["below 3", "above 3"])
    axes.set_xlabel("suspicion as reported")
    axes.set_ylabel("readers' mean malignancy")


def _reliability(canvas: Canvas, asked: Question) -> None:
    diagram = reliability(asked.positive, asked.suspicion)
    axes = _square(canvas, "suspicion, mean of the bin", "share rated above 3")
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    axes.plot(diagram.mean_probability, diagram.observed, color=OURS, linewidth=1)
    axes.scatter(diagram.mean_probability, diagram.observed, s=diagram.counts * 4, color=OURS)


def _froc(canvas: Canvas, curve: Froc) -> None:
    axes = canvas.subplots()
    rates = np.geomspace(FPS_PER_SCAN[0], FPS_PER_SCAN[-1], 200)
    axes.plot(rates, [curve.sensitivity_at(rate) for rate in rates], color=OURS, linewidth=1.8)
    axes.scatter(FPS_PER_SCAN, [curve.sensitivity_at(rate) for rate in FPS_PER_SCAN], color=OURS, s=18)
    axes.set_xscale("log", base=2)
    axes.set_xticks(FPS_PER_SCAN, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.set(xlabel="false positives a scan", ylabel="sensitivity", ylim=(0, 1.02))
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_title(f"CPM {curve.cpm:.3f}, {curve.num_lesions} nodules, {curve.num_scans} scans")


def _dice(canvas: Canvas, rows: Sequence[OutlineRow]) -> None:
    axes = canvas.subplots()
    axes.scatter([row.diameter_mm for row in rows], [row.dice for row in rows], s=12, color=OURS, alpha=0.6)
    axes.set(xlabel="diameter of the consensus, mm", ylabel="Dice", ylim=(0, 1.02))
    axes.grid(color=GRID, linewidth=0.7)
    for edge in (6, 10, 20):
        axes.axvline(edge, color=RULER, linewidth=0.8, linestyle=":")


def chosen_rows(rows: Sequence[OutlineRow]) -> dict[str, list[int]]:
    """The places of the poorest, the median and the best outlines by Dice, by these names; where they are few, of all.

    Of a few more than one picture shows, some are in two of them.
    """
    order = sorted(range(len(rows)), key=lambda row: (rows[row].dice, row))
    if len(order) <= SHOWN:
        return {"all": order}
    middle = len(order) // 2 - SHOWN // 2
    return {"poorest": order[:SHOWN], "median": order[middle : middle + SHOWN], "best": order[-SHOWN:]}


def _masks(canvas: Canvas, shown: Sequence[tuple[KeySlice, OutlineRow]]) -> None:
    for axes, (one, row) in zip(np.ravel(canvas.subplots(1, len(shown), squeeze=False)), shown, strict=True):
        axes.imshow(one.image, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], interpolation="nearest")
        for mask in one.readers:
            _contour(axes, mask, READERS, 0.7)
        _contour(axes, one.outline, OURS, 1.6)
        (row_center, column_center), (rows, columns) = one.center, one.reach
        axes.set_xlim(column_center - columns, column_center + columns)
        axes.set_ylim(row_center + rows, row_center - rows)
        axes.set_title(f"Dice {row.dice:.2f}, {row.diameter_mm:.0f} mm", fontsize=9, fontweight="normal")
        axes.set_axis_off()


def _contour(axes: Axes, mask: npt.NDArray[np.bool_], colour: str, width: float) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=width)


def _comparison(canvas: Canvas, data: dict[str, Any]) -> None:
    labels, datasets = data["labels"], data["datasets"]
    axes = canvas.subplots()
    width = 0.8 / len(datasets)
    for number, one in enumerate(datasets):
        heights = [np.nan if value is None else value for value in one["data"]]
        places = np.arange(len(labels)) - 0.4 + (number + 0.5) * width
        axes.bar(places, heights, width, color=one["backgroundColor"], label=one["label"])
    axes.set_xticks(
        range(len(labels)),
        [label.replace(", ", ",\n").replace("suspicious ", "suspicious\n") for label in labels],
        fontsize=9,
    )
    axes.set_ylim(0, 1)
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)


def _square(canvas: Canvas, x: str, y: str) -> Axes:
    axes: Axes = canvas.subplots()
    axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    return axes
