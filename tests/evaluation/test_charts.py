"""Which outlines a report shows."""

from __future__ import annotations

from lung_nodules.evaluation.charts import SHOWN, chosen_rows
from lung_nodules.evaluation.outlines import OutlineRow


def rows_of(num: int) -> list[OutlineRow]:
    """Rows whose Dice falls from row to row."""
    return [OutlineRow("a", str(row), 8.0, 1 - row / num, 0.5, 0.5, 1.0, 0.0) for row in range(num)]


def test_of_many_the_poorest_the_median_and_the_best_are_shown() -> None:
    chosen = chosen_rows(rows_of(3 * SHOWN))
    assert list(chosen) == ["poorest", "median", "best"]
    assert [row for rows in chosen.values() for row in rows] == list(reversed(range(3 * SHOWN)))


def test_few_are_all_shown_once() -> None:
    assert chosen_rows(rows_of(SHOWN)) == {"all": list(reversed(range(SHOWN)))}
    assert set(chosen_rows(rows_of(SHOWN + 1))) == {"poorest", "median", "best"}
