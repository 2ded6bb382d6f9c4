"""Figures quoted in documents, so that no number in a text differs from the run that measured it.

A quotation is a pair of comments, invisible where Markdown is rendered, around what was measured:
``<!--=crops:segmentation/dice-->0.840 (0.826 to 0.853), n 223<!--/-->``. The name before the colon is a JSON file that
`lung-nodules evaluate --json` wrote; the path leads to a figure in it. A path that ends in ``#value``, ``#n`` or
``#interval`` quotes that alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lung_nodules.errors import InputRefusal
from lung_nodules.evaluation.figures import Figure

_QUOTATION = re.compile(r"<!--=(?P<name>[\w-]+):(?P<path>[^#\n]+?)(?:#(?P<part>\w+))?-->.*?<!--/-->")

Documents = Mapping[str, Mapping[str, Any]]  # name to what `--json` wrote


def quote_figures(text: str, documents: Documents) -> str:
    """The text with every quotation as the documents have it now.

    Raises:
        InputRefusal: ``no-such-figure`` where a quoted figure is not in its document.
    """

    def quote(match: re.Match[str]) -> str:
        figure = find_figure(documents, match["name"], match["path"])
        part = f"#{match['part']}" if match["part"] else ""
        return f"<!--={match['name']}:{match['path']}{part}-->{in_words(figure, match['part'])}<!--/-->"

    return _QUOTATION.sub(quote, text)


def find_figure(documents: Documents, name: str, path: str) -> Figure:
    """The figure at a path, its parts parted by slashes.

    Raises:
        InputRefusal: ``no-such-figure``.
    """
    branch: Any = documents.get(name)
    for part in path.split("/"):
        branch = branch.get(part) if isinstance(branch, Mapping) else None
    if not isinstance(branch, Mapping) or "value" not in branch:
        raise InputRefusal("no-such-figure", f"{name}.json has no figure {path}.")
    return Figure.model_validate(branch)


def in_words(figure: Figure, part: str | None = None) -> str:
    """A figure as it is written in a text: value, 95 % interval where there is one, and n."""
    value = _short(figure.value)
    interval = "" if figure.low is None or figure.high is None else f"{_short(figure.low)} to {_short(figure.high)}"
    parts = {"value": value, "n": str(figure.n), "interval": interval}
    if part:
        return parts[part]
    return f"{value} ({interval}), n {figure.n}" if interval else f"{value}, n {figure.n}"


def _short(value: float) -> str:
    """Three decimals below 10, one above: what an interval of 200 rows can bear."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
