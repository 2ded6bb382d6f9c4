"""The table of a batch: CSV and JSON in the output folder, and what the terminal shows."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lung_nodules.batch.row import Row, RowState, write_rows_json, write_whole

if TYPE_CHECKING:
    from rich.table import Table

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_SHOWN = 40  # rows on a terminal; the files hold all


def write_tables(rows: Sequence[Row], folder: Path, suffix: str) -> tuple[Path, Path]:
    """Write `batch.csv` and `batch.json`, each all at once; `suffix` tells the shards apart."""
    csv_path, json_path = folder / f"batch{suffix}.csv", folder / f"batch{suffix}.json"
    write_whole(csv_path, _as_csv(rows))
    write_rows_json(rows, json_path)
    return csv_path, json_path


def summary(rows: Sequence[Row], num_new: int) -> str:
    """One line: how many ended how."""
    counts = Counter(row.state for row in rows)
    told = ", ".join(f"{counts[state]} {state}" for state in RowState)
    return f"{len(rows)} studies: {told}; {num_new} read now, {len(rows) - num_new} known from before"


def terminal_table(rows: Sequence[Row]) -> Table:
    """What went wrong first, then the most suspicious; no more than a screen or so."""
    from rich import box
    from rich.table import Table

    table = Table(
        "study", "source", "state", "findings", "suspicion", "quality", "s", box=box.SIMPLE_HEAD, pad_edge=False
    )
    ordered = sorted(rows, key=lambda row: (row.state is RowState.DONE, -(row.highest_suspicion or 0.0), row.source))
    for row in ordered[:_SHOWN]:
        table.add_row(*_cells(row))
    if len(rows) > _SHOWN:
        table.caption = f"{len(rows) - _SHOWN} more in batch.csv"
    return table


def _cells(row: Row) -> tuple[str, ...]:
    suspicion = "-" if row.highest_suspicion is None else f"{row.highest_suspicion:.2f}"
    findings = "-" if row.num_findings is None else str(row.num_findings)
    state = row.state if row.state is RowState.DONE else f"{row.state}: {row.code}"
    return row.study[:8], row.source, state, findings, suspicion, row.quality or "-", f"{row.seconds:.0f}"


def _as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(Row.model_fields), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(value) for name, value in row.model_dump(mode="json").items()})
    return text.getvalue().removesuffix("\n")


def _harmless(value: object) -> object:
    """Keep a spreadsheet from taking a folder's name for a formula (OWASP, CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
