"""Audit entries leave when a site says so, whatever its time zone, and keep nothing else from leaving."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from lung_nodules.service.database.schema import bring_up_to_date
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.places import work_folder
from lung_nodules.service.jobs.pruning import prune
from lung_nodules.service.security.audit import TABLES, AuditEntry, AuditLog, AuditQuery

pytestmark = pytest.mark.service


def entry(ago):
    """Something that was done so long ago."""
    return AuditEntry(
        at=datetime.now(UTC) - ago,
        actor="vera",
        role="viewer",
        auth_mode="none",
        action="x",
        outcome="done",
        status=200,
        object=str(ago),
    )


@asynccontextmanager
async def audited(settings, *agos):
    """A desk, and a log with an entry of each age more."""
    async with open_desk(settings) as desk:
        async with desk.pool.connection() as connection:
            await bring_up_to_date(connection, "audit", TABLES)
        log = AuditLog(desk.pool, settings.data_folder / "audit")
        await log.record([entry(ago) for ago in agos])
        yield desk, log


async def ask(desk, query):
    async with desk.pool.connection() as connection:
        cursor = await connection.execute(query.encode())
        return await cursor.fetchone() if cursor.description else None


async def left(log):
    return [each.object for each in (await log.read(AuditQuery())).entries]


@pytest.mark.parametrize("audit_days", [None, 90])
def test_audit_entries_go_only_when_a_site_says_so(make, run, audit_days):
    settings = make(retention={"audit_days": audit_days})
    now = datetime.now(UTC)
    agos = [timedelta(days=days) for days in (400, 91, 89, 1)]

    async def scenario():
        async with audited(settings, *reversed(agos)) as (desk, log):
            for days in (89, 92):
                (settings.data_folder / "audit" / f"{now - timedelta(days=days):%Y-%m-%d}.jsonl").touch()
            (settings.data_folder / "audit" / "notes.jsonl").touch()
            await prune(desk.pool, settings)
            files = {path.stem for path in (settings.data_folder / "audit").iterdir()}
            assert await left(log) == [str(ago) for ago in (agos[2:] if audit_days else agos)]
            kept = [0, 89] if audit_days else [0, 89, 92]
            assert files == {f"{now - timedelta(days=days):%Y-%m-%d}" for days in kept} | {"notes"}
            for change in (
                "DELETE FROM audit_entries WHERE id = (SELECT max(id) FROM audit_entries)",
                "SET lung_nodules.audit_kept = '30 days'; DELETE FROM audit_entries",
            ):
                with pytest.raises(psycopg.errors.RaiseException, match="only ever added"):
                    await ask(desk, change)

    run(scenario())


def test_entries_go_by_the_hour_where_summer_time_has_begun_meanwhile(make, run):
    settings = make(retention={"audit_days": 20})
    begins, ends = (f"J{min(int(f'{datetime.now(UTC) + timedelta(days=days):%j}'), 365)}" for days in (-10, 30))
    zone = f"WINTER0SUMMER,{begins},{ends}"
    agos = [timedelta(days=20, minutes=minutes) for minutes in (90, 30, -30, -90)]

    async def scenario():
        async with audited(settings, *reversed(agos)) as (desk, _):
            name = (await ask(desk, "SELECT current_database() AS name"))["name"]
            await ask(desk, f"ALTER DATABASE {name} SET TimeZone = '{zone}'")
        async with audited(settings) as (desk, log):
            days = await ask(desk, "SELECT now() - interval '20 days' > now() - interval '480 hours' AS are_short")
            assert days["are_short"]
            await prune(desk.pool, settings)
            assert await left(log) == [str(ago) for ago in agos[2:]]

    run(scenario())


def test_entries_that_cannot_leave_keep_no_files_on_the_disk(make, run):
    """As where a site forbids by means of its own that entries are removed."""
    settings = make(retention={"audit_days": 90})
    remains = work_folder(settings.data_folder, uuid4())
    remains.mkdir(parents=True)

    async def scenario():
        async with audited(settings, timedelta(days=91)) as (desk, log):
            forbidden = "CREATE TRIGGER of_site BEFORE DELETE ON audit_entries EXECUTE FUNCTION audit_entries_stay()"
            await ask(desk, forbidden)
            with pytest.raises(psycopg.errors.RaiseException, match="only ever added"):
                await prune(desk.pool, settings)
            assert len(await left(log)) == 1
            assert not remains.exists()

    run(scenario())
