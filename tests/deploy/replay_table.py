"""The table of what was replayed, printed when the tests end."""

from __future__ import annotations

_rows: list[tuple[str, str, str, str]] = []


def add_row(runner: object, case: str, expected: object, got: object) -> None:
    """Add a case to the table; the runner is named by its class."""
    _rows.append((type(runner).__name__.removesuffix("Runner").lower(), case, str(expected), str(got)))


def table_lines() -> list[str]:
    """The table's lines: runner, case, expected, got; none where nothing was replayed."""
    if not _rows:
        return []
    rows = [(*row[:3], "as expected" if row[2] == row[3] else row[3]) for row in _rows]
    table = [("runner", "case", "expected", "got"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
