"""An evaluation as a folder: one HTML page that needs nothing beside it, its pictures, and its data as JSON."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from lung_nodules.errors import OutputRefusal
from lung_nodules.evaluation.charts import draw_charts
from lung_nodules.evaluation.comparison import comparison_data
from lung_nodules.evaluation.evaluate import Evaluation
from lung_nodules.evaluation.figures import Figure

SECTIONS = {
    "segmentation": "Outlines",
    "classification": "Suspicion",
    "baseline": "The ruler",
    "detection": "Detection",
    "system": "System",
}


@dataclass(frozen=True)
class Line:
    """One line of a table of figures."""

    name: str
    value: str
    interval: str
    n: int


def write_report(evaluation: Evaluation, folder: Path) -> None:
    """Write `report.html`, its PNGs, `figures.json`, `comparison.json` (Chart.js) and `evidence.json`.

    Raises:
        OutputRefusal: ``output-not-writable``.
    """
    from jinja2 import Environment  # of the training extra

    template = files("lung_nodules.evaluation").joinpath("report.html.jinja").read_text(encoding="utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        charts = draw_charts(evaluation, folder)
        write_json(folder / "figures.json", evaluation.document())
        write_json(folder / "comparison.json", comparison_data(evaluation.book))
        write_json(folder / "evidence.json", evaluation.evidence())
        page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
        html = page.render(
            title=evaluation.title,
            about=evaluation.about,
            sections=[(words, list(lines_of(evaluation, name))) for name, words in SECTIONS.items()],
            charts=[(caption, base64.b64encode(path.read_bytes()).decode()) for caption, path in charts.items()],
        )
        (folder / "report.html").write_text(html, encoding="utf-8")
    except OSError as error:
        raise OutputRefusal("output-not-writable", f"The evaluation cannot be written: {error.strerror}.") from error


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document; what is no number becomes null.

    Raises:
        OutputRefusal: ``output-not-writable``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_finite(document), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputRefusal("output-not-writable", f"{path.name} cannot be written: {error.strerror}.") from error


def lines_of(evaluation: Evaluation, section: str) -> Iterator[Line]:
    """The figures of a section, as text."""
    for path, figure in evaluation.book.under(section):
        interval = "" if figure.low is None or figure.high is None else f"{_text(figure.low)} to {_text(figure.high)}"
        yield Line(path.replace("/", " · ").replace("_", " "), _text(figure.value), interval, figure.n)


def figure_text(figure: Figure) -> str:
    """A figure in one line: value, interval, n."""
    interval = "" if figure.low is None or figure.high is None else f" ({_text(figure.low)} - {_text(figure.high)})"
    return f"{_text(figure.value)}{interval}, n {figure.n}"


def _text(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {name: _finite(one) for name, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
