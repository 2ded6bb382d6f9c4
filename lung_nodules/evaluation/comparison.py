"""The Vision Transformer, the U-Net and the random forest side by side, as data that Chart.js draws as it is.

They do not do the same, so not each has every figure. A model that was not evaluated is not in the chart, nor is a
figure that none has.
"""

from __future__ import annotations

from itertools import compress
from typing import Any

from lung_nodules.evaluation.book import FigureBook

FIGURES = {  # label: the end of a classifier's path, or the whole path
    "AUC, > 3 against < 3": "auc_above_3_against_below_3",
    "AUC, suspicious against rest": "auc_suspicious_against_rest",
    "accuracy": "accuracy",
    "F1": "f1",
    "Dice": "segmentation/dice",
    "IoU": "segmentation/iou",
    "surface Dice, 1 mm": "segmentation/surface_dice",
}
MODELS = {  # label: where its figures stand, and its colour
    "Vision Transformer, image alone": ("classification/image_alone", "#4f46e5"),
    "U-Net, outlines": ("segmentation", "#0d9488"),
    "Random forest, measurements": ("classification/random_forest", "#d97706"),
    "All together, as reported": ("classification", "#111827"),
    "Diameter alone": ("baseline", "#9ca3af"),
}


def comparison_data(book: FigureBook) -> dict[str, Any]:
    """A bar chart in Chart.js's own form, of figures that some model has; null where another has no such figure."""
    table = {label: [_value(book, prefix, end) for end in FIGURES.values()] for label, (prefix, _) in MODELS.items()}
    held = [any(values[place] is not None for values in table.values()) for place in range(len(FIGURES))]
    datasets = [
        {"label": label, "data": list(compress(values, held)), "backgroundColor": MODELS[label][1]}
        for label, values in table.items()
        if any(value is not None for value in values)
    ]
    return {
        "type": "bar",
        "data": {"labels": list(compress(FIGURES, held)), "datasets": datasets},
        "options": {"scales": {"y": {"min": 0, "max": 1}}},
    }


def _value(book: FigureBook, prefix: str, end: str) -> float | None:
    if "/" in end:
        path = end if end.startswith(f"{prefix}/") else ""
    elif prefix == "baseline":
        path = f"baseline/{end.replace('auc_', 'auc_diameter_')}"
    else:
        path = f"{prefix}/{end}"
    figure = book.get(path)
    return None if figure is None else round(figure.value, 4)
