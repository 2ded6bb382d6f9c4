"""A batch from its studies to its table, whoever reads them."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lung_nodules.batch.plan import BatchStudy, Plan, Shard
from lung_nodules.batch.reading import Outcome
from lung_nodules.batch.row import Row, RowState
from lung_nodules.batch.table import summary, write_tables
from lung_nodules.errors import UsageRefusal
from lung_nodules.progress import Progress
from lung_nodules.publication import writing

logger = logging.getLogger(__name__)

Runner = Callable[[Sequence[BatchStudy], Plan, Callable[[Outcome], None]], None]


@dataclass(frozen=True)
class BatchResult:
    """What a start of a batch came to."""

    rows: tuple[Row, ...]  # by source
    num_new: int  # read now; the others had ended before
    tables: tuple[Path, Path]

    @property
    def num_failed(self) -> int:
        """Studies that another start would try again."""
        return sum(row.state is RowState.FAILED for row in self.rows)


def run_batch(
    studies: Sequence[BatchStudy], plan: Plan, runner: Runner, progress: Progress, shard: Shard | None = None
) -> BatchResult:
    """Read all studies of a shard that have not ended yet, and write the table; also when it is interrupted.

    Raises:
        UsageRefusal: ``batch-running`` where another batch writes into the same output folder.
        OutputRefusal: ``output-not-written`` where the output folder takes neither a row nor the table.
    """
    part = shard or Shard()
    mine = [study for study in studies if part.holds(study)]
    outcomes: list[Outcome] = []
    with _alone(plan.output_folder / f".batch{part.suffix}.lock"), progress.stage("studies", len(mine)) as advance:

        def note(outcome: Outcome) -> None:
            outcomes.append(outcome)
            advance(1)
            row = outcome.row
            logger.info("%s: %s%s, %.1f s", row.study, row.state, f" ({row.code})" if row.code else "", row.seconds)

        try:
            runner(mine, plan, note)
        finally:
            rows = sorted((outcome.row for outcome in outcomes), key=lambda row: row.source)
            num_new = sum(outcome.is_new for outcome in outcomes)
            tables = write_tables(rows, plan.output_folder, part.suffix)
            logger.info(summary(rows, num_new))
    return BatchResult(tuple(rows), num_new, tables)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however that ends."""
    with writing("The batch", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageRefusal("batch-running", "Another batch is writing into this output folder.") from error
        yield
