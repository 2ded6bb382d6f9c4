"""Reviews in PostgreSQL: each is added and none is changed; of a finding the latest one holds.

They go with their job: whoever deletes a study deletes what was said about it.
"""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from lung_nodules.service.database.pool import Pool
from lung_nodules.service.reviews.model import Review, ReviewOrder
from lung_nodules.service.security.access import User

TABLES: tuple[LiteralString, ...] = (
    """
    CREATE TABLE finding_reviews (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        job_id uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        finding_id text NOT NULL,
        verdict text NOT NULL CHECK (verdict IN ('accepted', 'rejected', 'corrected')),
        comment text NOT NULL,
        diameter_mm double precision,
        suspicion smallint CHECK (suspicion BETWEEN 1 AND 5),
        characteristics jsonb NOT NULL,
        reviewed_by text NOT NULL,
        reviewed_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX finding_reviews_by_job ON finding_reviews (job_id, finding_id, number DESC);
    CREATE FUNCTION finding_reviews_stay() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'reviews are only ever added'; END $$;
    CREATE TRIGGER finding_reviews_stay BEFORE UPDATE ON finding_reviews
        FOR EACH STATEMENT EXECUTE FUNCTION finding_reviews_stay();
    """,
    "ALTER TABLE finding_reviews ADD COLUMN reader_name text NOT NULL DEFAULT '';",
)

_ADD = """
    INSERT INTO finding_reviews
        (job_id, finding_id, verdict, comment, diameter_mm, suspicion, characteristics, reviewed_by, reader_name)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    RETURNING *"""
_LATEST = """
    SELECT DISTINCT ON (finding_id) * FROM finding_reviews WHERE job_id = %s ORDER BY finding_id, number DESC"""
_HISTORY = "SELECT * FROM finding_reviews WHERE job_id = %s ORDER BY number"


class ReviewStore:
    """The reviews of all jobs.

    Args:
        pool: Connections to a database that has `TABLES`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, job_id: UUID, finding_id: str, order: ReviewOrder, reader: User) -> Review:
        """Keep what a reader says, and how he is called today; it holds from now on.

        Raises:
            psycopg.errors.ForeignKeyViolation: There is no such job.
        """
        values = (
            *(job_id, finding_id, str(order.verdict), order.comment, order.diameter_mm, order.suspicion),
            *(Jsonb(order.characteristics.rated()), reader.name, reader.person_name),
        )
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_ADD, values)
            row = await cursor.fetchone()
        assert row is not None
        return _read(row)

    async def latest(self, job_id: UUID) -> tuple[Review, ...]:
        """What holds: the latest review of each finding of a job, by finding."""
        return await self._fetch(_LATEST, job_id)

    async def history(self, job_id: UUID) -> tuple[Review, ...]:
        """Everything that was ever said about a job's findings, in the order in which it was said."""
        return await self._fetch(_HISTORY, job_id)

    async def _fetch(self, query: LiteralString, job_id: UUID) -> tuple[Review, ...]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query, (job_id,))
            return tuple(_read(row) for row in await cursor.fetchall())


def _read(row: dict[str, Any]) -> Review:
    return Review(**{name: value for name, value in row.items() if name in Review.model_fields})
