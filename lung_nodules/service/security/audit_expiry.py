"""Audit entries that are older than a site keeps them leave the database and the folder of JSON lines.

The table lets entries go only in a session that says how long they are kept, and only older ones (`audit.TABLES`).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lung_nodules.service.database.pool import Connection
from lung_nodules.service.database.schema import has_table

_AT_ONCE = 50_000
# Counted in seconds, as the trigger counts: days of an interval are the time zone's, and one in spring has 23 hours.
_REMOVE_OLDEST = """
    DELETE FROM audit_entries WHERE id IN (
        SELECT id FROM audit_entries WHERE at < now() - current_setting('lung_nodules.audit_kept')::interval
        ORDER BY at LIMIT %s)"""


async def remove_old_rows(connection: Connection, keep: timedelta) -> None:
    """Remove entries older than `keep`, the oldest first, so many at once; nothing where there is no table yet."""
    if not await has_table(connection, "audit_entries"):
        return
    kept = f"{keep.total_seconds()} seconds"
    async with connection.transaction():
        await connection.execute("SELECT set_config('lung_nodules.audit_kept', %s, true)", (kept,))
        await connection.execute(_REMOVE_OLDEST, (_AT_ONCE,))


def remove_old_files(folder: Path, keep: timedelta) -> None:
    """Remove the files of days that ended longer than `keep` ago; other names are left alone."""
    oldest = (datetime.now(UTC) - keep).date()
    for path in folder.glob("????-??-??.jsonl"):
        with suppress(ValueError):
            if date.fromisoformat(path.stem) < oldest:
                path.unlink(missing_ok=True)
