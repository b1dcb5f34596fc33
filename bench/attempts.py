"""When what happened to the attempts of one ticket, by the clocks of those who wrote it down."""

from contextlib import suppress

import psycopg
from psycopg.rows import DictRow, dict_row

from bench.chaos.system import url_of
from bench.chaos.verdict import ENDED
from enhancer_dagster.settings import Settings

_JOB = """
    SELECT job.state, job.attempt, history.status, history.attempt AS recorded_attempt,
        extract(epoch FROM job.started_at)::float AS started_at,
        extract(epoch FROM job.finished_at)::float AS finished_at,
        extract(epoch FROM history.updated_at)::float AS recorded_at
    FROM bridge.jobs job LEFT JOIN pipeline.enhancement_history history USING (job_id)
    WHERE job.job_id = %s
"""
_FAILED_RUNS = """
    SELECT attempt.value::int AS attempt, run.end_time
    FROM runs run JOIN run_tags job USING (run_id) JOIN run_tags attempt USING (run_id)
    WHERE run.status = 'FAILURE' AND job.key = 'job_id' AND job.value = %s AND attempt.key = 'attempt'
"""


class Attempts:
    """What is known of a job's attempts; times are epoch seconds, by the attempt's number.

    Rows keep the last attempt's times alone, so `look` has to come by more often than attempts do.

    Args:
        settings: Of a ready installation.
        job_id: Which job.

    Attributes:
        started: When the fence let a run in.
        run_failed: When Dagster's run ended as failed.
        recorded: When history said `failed`.
        state: The job's.
        ended_at: When the job ended, where it has.
    """

    def __init__(self, settings: Settings, job_id: str) -> None:
        self._product = url_of(settings, "database_url")
        self._dagster = url_of(settings, "dagster_database_url")
        self._job_id = job_id
        self.started: dict[int, float] = {}
        self.run_failed: dict[int, float] = {}
        self.recorded: dict[int, float] = {}
        self.state = ""
        self.ended_at: float | None = None

    def look(self) -> bool:
        """Note what there is now; whether the job has ended and history knows. A database may be down."""
        with suppress(psycopg.OperationalError):
            for run in _rows(self._dagster, _FAILED_RUNS, self._job_id):
                self.run_failed.setdefault(run["attempt"], run["end_time"])
            return any(self._is_over(job) for job in _rows(self._product, _JOB, self._job_id))
        return False

    def _is_over(self, job: DictRow) -> bool:
        self.state, self.ended_at = job["state"], job["finished_at"]
        if job["started_at"] is not None:
            self.started.setdefault(job["attempt"], job["started_at"])
        if job["status"] == "failed":
            self.recorded.setdefault(job["recorded_attempt"], job["recorded_at"])
        return self.state in ENDED and job["status"] in {"completed", "failed"}


def _rows(url: str, statement: str, job_id: str) -> list[DictRow]:
    with psycopg.Connection[DictRow].connect(url, row_factory=dict_row) as connection:
        return connection.execute(statement, [job_id]).fetchall()  # type: ignore[arg-type]
