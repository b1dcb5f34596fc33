"""What became of runs: as the Dagster UI shows it, with the worker that claimed each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
import psycopg

_RUNS = """{ runsOrError(limit: 10000) { ... on Runs { results {
    runId jobName status startTime endTime } } } }"""
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
_MARKED = "SELECT run_id FROM event_logs WHERE dagster_event_type = 'PIPELINE_FAILURE'"
_STARTED = """
    SELECT extract(epoch FROM began.timestamp - launched.timestamp)::float
    FROM event_logs launched JOIN event_logs began USING (run_id)
    WHERE launched.dagster_event_type = 'PIPELINE_STARTING' AND began.dagster_event_type = 'PIPELINE_START'
"""
_EXECUTED = """
    SELECT run_id, count(*) FROM event_logs
    WHERE dagster_event_type = 'ENGINE_EVENT' AND event LIKE '%Executing in Celery worker%' GROUP BY run_id
"""


@dataclass(frozen=True)
class Run:
    """One run; times are epoch seconds.

    Attributes:
        worker: That claimed it; None where none did.
        was_failure: Whether it was marked as failed at some moment.
        executions: How often a worker began it.
    """

    run_id: str
    job: str
    status: str
    started_at: float | None
    ended_at: float | None
    worker: str | None
    was_failure: bool
    executions: int

    @property
    def has_ended(self) -> bool:
        """Whether the UI shows an end."""
        return self.status in _ENDED and self.ended_at is not None

    def was_with(self, worker: str, at: float) -> bool:
        """Whether `worker` was executing it at a moment, or had claimed it and begun by nothing."""
        begun = self.started_at is None or self.started_at <= at
        return self.worker == worker and begun and (self.ended_at is None or self.ended_at > at)


def runs_of(ui: str, dagster_database: str, claimants: Mapping[str, str]) -> list[Run]:
    """All runs that the UI at this address shows.

    Raises:
        httpx.HTTPError: It does not answer.
    """
    answer = httpx.post(f"{ui}/graphql", json={"query": _RUNS}, timeout=60).raise_for_status().json()
    with psycopg.connect(dagster_database) as connection:
        failures = {run_id for (run_id,) in connection.execute(_MARKED)}
        executions = dict(connection.execute(_EXECUTED).fetchall())
    return [
        Run(
            run_id=(run_id := shown["runId"]),
            job=shown["jobName"],
            status=shown["status"],
            started_at=shown["startTime"],
            ended_at=shown["endTime"],
            worker=claimants.get(run_id),
            was_failure=run_id in failures,
            executions=executions.get(run_id, 0),
        )
        for shown in answer["data"]["runsOrError"]["results"]
    ]


def starts(dagster_database: str) -> list[float]:
    """The seconds that each run took from its launch to its start."""
    with psycopg.connect(dagster_database) as connection:
        return [seconds for (seconds,) in connection.execute(_STARTED)]


def by_worker(runs: Sequence[Run]) -> dict[str, int]:
    """How many runs each worker claimed."""
    return dict(sorted(Counter(run.worker for run in runs if run.worker).items()))
