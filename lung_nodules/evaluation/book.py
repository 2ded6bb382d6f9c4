"""The figures of an evaluation by name, as `--json` writes them and the report shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

from lung_nodules.evaluation.figures import Figure, FigureUndefinedError

P = ParamSpec("P")


class FigureBook:
    """Figures under paths such as ``segmentation/dice``; one that a cohort cannot give is not in it."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}

    def put(self, path: str, figure: Figure) -> None:
        """Add a figure."""
        self._figures[path] = figure

    def measure(self, path: str, figure: Callable[P, Figure], *args: P.args, **kwargs: P.kwargs) -> None:
        """Add what a function gives for the arguments, or nothing where the figure does not exist on these rows."""
        try:
            self.put(path, figure(*args, **kwargs))
        except FigureUndefinedError:
            return

    def get(self, path: str) -> Figure | None:
        """The figure of a path."""
        return self._figures.get(path)

    def under(self, prefix: str) -> Iterator[tuple[str, Figure]]:
        """The rest of the path, and the figure, of all below a prefix."""
        for path, figure in self._figures.items():
            if path.startswith(f"{prefix}/"):
                yield path.removeprefix(f"{prefix}/"), figure

    def tree(self) -> dict[str, Any]:
        """Nested dictionaries, one level a part of the path; at the ends ``{"value", "low", "high", "n"}``."""
        tree: dict[str, Any] = {}
        for path, figure in self._figures.items():
            *parents, name = path.split("/")
            branch = tree
            for parent in parents:
                branch = branch.setdefault(parent, {})
            branch[name] = figure.model_dump()
        return tree
