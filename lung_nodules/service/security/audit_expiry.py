"""Audit entries that are older than a site keeps them leave the database and the folder of JSON lines.

The table lets entries go only in a session that says how long they are kept, and only older ones (`audit.TABLES`).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lung_nodules.service.database.pool import Connection

_AT_ONCE = 50_000


async def remove_old_rows(connection: Connection, keep: timedelta) -> None:
    """Remove entries older than `keep`, the oldest first, so many at once; nothing where there is no table yet."""
    cursor = await connection.execute("SELECT to_regclass('audit_entries') IS NOT NULL AS is_there")
    row = await cursor.fetchone()
    if row is None or not row["is_there"]:
        return
    async with connection.transaction():
        await connection.execute(
            "SELECT set_config('lung_nodules.audit_kept', %s, true)", (f"{keep.total_seconds()} seconds",)
        )
        await connection.execute(
            "DELETE FROM audit_entries WHERE id IN"
            " (SELECT id FROM audit_entries WHERE at < now() - %s ORDER BY at LIMIT %s)",
            (keep, _AT_ONCE),
        )


def remove_old_files(folder: Path, keep: timedelta) -> None:
    """Remove the files of days that ended longer than `keep` ago; other names are left alone."""
    oldest = (datetime.now(UTC) - keep).date()
    for path in folder.glob("????-??-??.jsonl"):
        with suppress(ValueError):
            if date.fromisoformat(path.stem) < oldest:
                path.unlink(missing_ok=True)
