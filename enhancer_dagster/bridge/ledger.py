"""What the queue knows, for people and for the reconciler: lists, counts, outcomes that history lacks."""

from collections.abc import Sequence
from typing import Any

from enhancer_dagster.bridge.database import AsyncDatabase
from enhancer_dagster.bridge.schemas import JobFilter, WrittenOutcome
from enhancer_dagster.domain.outcomes import HistoryRecord, HistoryStatus

LIST = """
    SELECT job_id, tenant_id, ticket_id, state, attempt, correlation_id, received_at, error, run_id,
        subject, priority, event, asked_again, expiries, excused, retries, available_at, claimed_at,
        started_at, lease_expires_at, finished_at, history_written
    FROM bridge.jobs AS job
    WHERE (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
        AND (%(ticket)s::text IS NULL OR ticket_id = %(ticket)s)
        AND (%(state)s::text[] = '{}' OR state = ANY(%(state)s))
        AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
        AND (%(correlation_id)s::uuid[] = '{}' OR correlation_id = ANY(%(correlation_id)s))
        AND (%(run_id)s::text IS NULL
            OR job_id IN (SELECT job_id FROM bridge.runs WHERE run_id = %(run_id)s))
        AND (NOT %(run_given_up)s OR run_given_up)
        AND (NOT %(newest)s OR (SELECT true FROM bridge.jobs newer
            WHERE newer.tenant_id = job.tenant_id AND newer.ticket_id = job.ticket_id
                AND (newer.received_at, newer.job_id) > (job.received_at, job.job_id) LIMIT 1) IS NULL)
        AND (%(before)s::uuid IS NULL OR (received_at, job_id) < (
            SELECT received_at, job_id FROM bridge.jobs WHERE job_id = %(before)s))
    ORDER BY received_at DESC, job_id DESC LIMIT %(limit)s
"""
COUNT = "SELECT tenant_id, state, count(*) AS jobs FROM bridge.jobs GROUP BY tenant_id, state"
PAUSES = """
    SELECT tenant_id, paused_since, probe_at, failures FROM bridge.tenants WHERE paused_since IS NOT NULL
"""
UNWRITTEN = """
    SELECT job_id, tenant_id, ticket_id, correlation_id, attempt, run_id, state, error, record,
        received_at, coalesce(started_at, claimed_at, received_at) AS started_at, finished_at
    FROM bridge.jobs WHERE finished_at IS NOT NULL AND NOT history_written
    ORDER BY finished_at LIMIT %s
"""
ACKNOWLEDGE = """
    UPDATE bridge.jobs AS job SET history_written = true
    FROM unnest(%(job_ids)s::uuid[], %(attempts)s::integer[]) AS written (job_id, attempt)
    WHERE job.job_id = written.job_id AND job.attempt = written.attempt AND job.finished_at IS NOT NULL
"""


class Ledger:
    """Reads the queue. Every method raises `DatabaseUnavailableError`."""

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database

    async def jobs(self, wanted: JobFilter) -> Sequence[dict[str, Any]]:
        """A page of jobs, newest first."""
        async with self._database.connection() as connection:
            # A plan for these values: the best one differs from filter to filter.
            return await (await connection.execute(LIST, wanted.model_dump(), prepare=False)).fetchall()

    async def counts(self) -> dict[str, dict[str, Any]]:
        """Jobs by state for each tenant, and its pause where it has one."""
        async with self._database.connection() as connection:
            counted = await (await connection.execute(COUNT)).fetchall()
            pauses = await (await connection.execute(PAUSES)).fetchall()
        tenants: dict[str, dict[str, Any]] = {}
        for row in counted:
            tenants.setdefault(row["tenant_id"], {"jobs": {}})["jobs"][row["state"]] = row["jobs"]
        for pause in pauses:
            tenants.setdefault(pause.pop("tenant_id"), {"jobs": {}})["pause"] = pause
        return tenants

    async def unwritten(self, limit: int) -> list[HistoryRecord]:
        """Outcomes that history has not acknowledged, oldest first; a dead job's is put together here."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(UNWRITTEN, [limit])).fetchall()
        return [_record(row) for row in rows]

    async def acknowledge(self, written: Sequence[WrittenOutcome]) -> int:
        """Mark outcomes as being in history; returns how many jobs that changed."""
        values = {"job_ids": [one.job_id for one in written], "attempts": [one.attempt for one in written]}
        async with self._database.connection() as connection:
            return (await connection.execute(ACKNOWLEDGE, values)).rowcount


def _record(row: dict[str, Any]) -> HistoryRecord:
    if row["record"] is not None:
        # A run's own tag may hold an older number, and the acknowledgement goes by the job's.
        return HistoryRecord.model_validate(row["record"] | {"attempt": row["attempt"]})
    return HistoryRecord(
        correlation_id=row["correlation_id"],
        tenant_id=row["tenant_id"],
        ticket_id=row["ticket_id"],
        job_id=row["job_id"],
        status=HistoryStatus.FAILED,
        attempt=row["attempt"],
        dagster_run_id=row["run_id"],
        received_at=row["received_at"],
        started_at=row["started_at"],
        completed_at=row["finished_at"],
        error_message=row["error"],
    )
