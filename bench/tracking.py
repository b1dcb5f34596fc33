"""What became of tickets, read where it is kept: bridge's queue, Dagster's runs, service desk's log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import DictRow, dict_row

from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.settings import Settings

_OPEN = """
    SELECT count(*) FROM bridge.jobs
    WHERE ticket_id = ANY(%s) AND state NOT IN ('completed', 'failed', 'dead')
"""
_JOBS = """
    SELECT ticket_id, state, run_id, extract(epoch FROM received_at)::float AS received_at
    FROM bridge.jobs WHERE ticket_id = ANY(%s)
"""
_RUNS = "SELECT run_id, status, end_time FROM runs WHERE run_id = ANY(%s)"
_UNFINISHED = "SELECT count(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"


@dataclass(frozen=True)
class Outcome:
    """One ticket's way; times are epoch seconds.

    Attributes:
        received_at: When the bridge took the webhook in, by the clock of its transaction.
        finished_at: When the run ended, as Dagster says; None while it has not.
        updates: When the service desk was changed by us.
        completed: Whether the job is completed, by a run that succeeded, with one change of the ticket.
    """

    ticket_id: str
    received_at: float
    finished_at: float | None
    updates: tuple[float, ...]
    completed: bool

    @property
    def to_end(self) -> float:
        """Seconds from the webhook to the end of the run."""
        if self.finished_at is None:
            raise ValueError(f"the run of ticket {self.ticket_id} has not ended")
        return self.finished_at - self.received_at

    @property
    def to_update(self) -> float:
        """Seconds from the webhook to the change of the ticket."""
        if not self.updates:
            raise ValueError(f"ticket {self.ticket_id} was not changed")
        return self.updates[0] - self.received_at


class Tracker:
    """Reads both databases; each question opens a connection of its own.

    Args:
        settings: Of a ready installation.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.database_url is None or settings.dagster_database_url is None:
            raise ConfigurationError("the installation is not ready: it has no database")
        self._product = settings.database_url.get_secret_value()
        self._dagster = settings.dagster_database_url.get_secret_value()

    def is_done(self, ticket_ids: Sequence[str]) -> bool:
        """Whether all jobs and all runs have ended."""
        return not self._count(self._product, _OPEN, [list(ticket_ids)]) and self.is_quiet()

    def is_quiet(self) -> bool:
        """Whether no run of any kind is on its way."""
        return not self._count(self._dagster, _UNFINISHED, [])

    def completed(self, ticket_ids: Sequence[str]) -> int:
        """How many of the jobs are completed by now."""
        with _rows(self._product) as connection:
            return sum(row["state"] == "completed" for row in connection.execute(_JOBS, [list(ticket_ids)]))

    def outcomes(
        self, ticket_ids: Sequence[str], updates: Mapping[str, Sequence[float]]
    ) -> dict[str, Outcome]:
        """What is known of each ticket; those that the queue does not know are missing."""
        with _rows(self._product) as connection:
            jobs = connection.execute(_JOBS, [list(ticket_ids)]).fetchall()
        with _rows(self._dagster) as connection:
            rows = connection.execute(_RUNS, [[job["run_id"] for job in jobs]]).fetchall()
        runs = {row["run_id"]: row for row in rows}
        found = {}
        for job in jobs:
            ticket_id, run = job["ticket_id"], runs.get(job["run_id"], {})
            changes = tuple(updates.get(ticket_id, ()))
            found[ticket_id] = Outcome(
                ticket_id=ticket_id,
                received_at=job["received_at"],
                finished_at=run.get("end_time"),
                updates=changes,
                completed=job["state"] == "completed"
                and run.get("status") == "SUCCESS"
                and len(changes) == 1,
            )
        return found

    def _count(self, url: str, statement: str, values: list[object]) -> int:
        with psycopg.connect(url) as connection:
            row = connection.execute(statement, values).fetchone()  # type: ignore[arg-type]
        return row[0] if row else 0


def _rows(url: str) -> psycopg.Connection[DictRow]:
    return psycopg.Connection[DictRow].connect(url, row_factory=dict_row)
