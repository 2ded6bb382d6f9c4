"""Reviews in PostgreSQL: each is added and none is changed; of a finding the latest one holds.

A job that is read anew, by other models say, may give other findings under the same names. So each review names the
results that it is about, and holds for no others. They go with their job: whoever deletes a study deletes what was said
about it.
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
    "ALTER TABLE finding_reviews ADD COLUMN result_uid text;",
)

_ADD = """
    INSERT INTO finding_reviews
        (job_id, finding_id, verdict, comment, diameter_mm, suspicion, characteristics, reviewed_by, reader_name,
        result_uid)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    RETURNING *"""
_LATEST = """
    SELECT DISTINCT ON (finding_id) * FROM finding_reviews WHERE job_id = %(job)s
    AND (result_uid IS NULL OR result_uid = COALESCE(%(result)s,
        (SELECT result_uid FROM finding_reviews WHERE job_id = %(job)s AND result_uid IS NOT NULL
        ORDER BY number DESC LIMIT 1)))
    ORDER BY finding_id, number DESC"""
_HISTORY = "SELECT * FROM finding_reviews WHERE job_id = %(job)s ORDER BY number"


class ReviewStore:
    """The reviews of all jobs.

    Args:
        pool: Connections to a database that has `TABLES`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, job_id: UUID, result_uid: str, finding_id: str, order: ReviewOrder, reader: User) -> Review:
        """Keep what a reader says, and how he is called today; it holds from now on.

        Args:
            job_id: Of the job that has the results.
            result_uid: Names the results that it is about.
            finding_id: Of the finding in them.
            order: What is said.
            reader: Who says it.

        Raises:
            psycopg.errors.ForeignKeyViolation: There is no such job.
        """
        values = (
            *(job_id, finding_id, str(order.verdict), order.comment, order.diameter_mm, order.suspicion),
            *(Jsonb(order.characteristics.rated()), reader.name, reader.person_name, result_uid),
        )
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_ADD, values)
            row = await cursor.fetchone()
        assert row is not None
        return _read(row)

    async def latest(self, job_id: UUID, result_uid: str | None) -> tuple[Review, ...]:
        """What holds: the latest review of each finding, by finding.

        Args:
            job_id: Of the job that has the results.
            result_uid: Names the results; None where they are gone: those that were reviewed last.
        """
        return await self._fetch(_LATEST, {"job": job_id, "result": result_uid})

    async def history(self, job_id: UUID) -> tuple[Review, ...]:
        """Everything that was ever said about a job's findings, in the order in which it was said."""
        return await self._fetch(_HISTORY, {"job": job_id})

    async def _fetch(self, query: LiteralString, values: dict[str, object]) -> tuple[Review, ...]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query, values)
            return tuple(_read(row) for row in await cursor.fetchall())


def _read(row: dict[str, Any]) -> Review:
    return Review(**{name: value for name, value in row.items() if name in Review.model_fields})
