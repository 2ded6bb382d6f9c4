"""Our tables and the queue's, made or brought up to date once, whoever comes first.

Other parts of the service bring tables of their own by `bring_up_to_date`, under a name of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from procrastinate.schema import SchemaManager

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.database.pool import Connection

logger = logging.getLogger(__name__)

_LOCK = 7_314_908_113  # of all who bring tables up to date
_TABLES = ("tables_1.sql", "tables_2.sql", "tables_3.sql", "tables_4.sql", "tables_5.sql")
_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_versions (
    part text PRIMARY KEY,
    version integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    detail text NOT NULL DEFAULT ''
)"""


async def prepare_database(connection: Connection) -> None:
    """Bring the tables of the queue and of the jobs up to date; nothing where they are.

    Raises:
        UsageRefusal: ``database-version`` where a newer release has made them.
    """
    folder = files("lung_nodules.service.database")
    own = [folder.joinpath(name).read_text(encoding="utf-8") for name in _TABLES]
    await _prepare_queue(connection)
    await bring_up_to_date(connection, "jobs", own)


async def bring_up_to_date(connection: Connection, part: str, versions: Sequence[str]) -> None:
    """Run the scripts that a part of the database still lacks, all or none; the first one makes it.

    Args:
        connection: Not within a transaction.
        part: Names who owns the tables.
        versions: One SQL script a version, the first making version 1.

    Raises:
        UsageRefusal: ``database-version`` where a newer release has been here.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await connection.execute(_VERSIONS)
        cursor = await connection.execute("SELECT version FROM schema_versions WHERE part = %s", (part,))
        row = await cursor.fetchone()
        version = row["version"] if row else 0
        if version > len(versions):
            sentence = f"The database's tables for {part} are of version {version}; this release knows {len(versions)}."
            raise UsageRefusal("database-version", sentence, "Use the newer release.")
        for script in versions[version:]:
            await connection.execute(script.encode())  # bytes: several statements, and no placeholders
        if version < len(versions):
            await connection.execute(
                "INSERT INTO schema_versions (part, version) VALUES (%s, %s)"
                " ON CONFLICT (part) DO UPDATE SET version = EXCLUDED.version, applied_at = now()",
                (part, len(versions)),
            )


async def has_table(connection: Connection, name: str) -> bool:
    """Whether a part of the service has made its table by that name."""
    cursor = await connection.execute("SELECT to_regclass(%s) IS NOT NULL AS is_there", (name,))
    row = await cursor.fetchone()
    return bool(row and row["is_there"])


async def _prepare_queue(connection: Connection) -> None:
    """Procrastinate's tables: its whole script into an empty database, later only the migrations that came since.

    A migration is named by the release that it came with, so that their names sort as they are to be run.
    """
    migrations = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await connection.execute(_VERSIONS)
        cursor = await connection.execute("SELECT detail FROM schema_versions WHERE part = 'queue'")
        row = await cursor.fetchone()
        newest = migrations[-1].name
        if row is None:
            await connection.execute(SchemaManager.get_schema().encode())
            await connection.execute(
                "INSERT INTO schema_versions (part, version, detail) VALUES ('queue', 1, %s)", (newest,)
            )
            return
        for migration in migrations:
            if migration.name > row["detail"]:
                await connection.execute(migration.read_bytes())
        await connection.execute(
            "UPDATE schema_versions SET detail = greatest(detail, %s) WHERE part = 'queue'", (newest,)
        )
