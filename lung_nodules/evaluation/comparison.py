"""The Vision Transformer, the U-Net and the random forest side by side, as data that Chart.js draws as it is.

They do not do the same, so not each has every figure, and a model that was not evaluated is not in the chart.
"""

from __future__ import annotations

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
    """A bar chart in Chart.js's own form; null where a model has no such figure."""
    datasets = []
    for label, (prefix, colour) in MODELS.items():
        values = [_value(book, prefix, end) for end in FIGURES.values()]
        if any(value is not None for value in values):
            datasets.append({"label": label, "data": values, "backgroundColor": colour})
    return {
        "type": "bar",
        "data": {"labels": list(FIGURES), "datasets": datasets},
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
