"""The queue's operations, each one transaction over the statements of `transitions`."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from loguru import logger

from enhancer_dagster.bridge import pauses, transitions
from enhancer_dagster.bridge.database import AsyncDatabase, Connection
from enhancer_dagster.domain.errors import DatabaseUnavailableError, FenceClosedError, PermanentError
from enhancer_dagster.domain.outcomes import JobOutcome
from enhancer_dagster.domain.ports import Finish
from enhancer_dagster.domain.tickets import Claim, EnhancementJob

MAX_WAIT_SECONDS = 86_400.0
"""Longest that a service desk is obeyed when it names a moment."""

STATE_AFTER = {
    JobOutcome.COMPLETED: "completed",
    JobOutcome.FAILED: "failed",
    JobOutcome.RETRY: "queued",
}

KNOWN_CHANGE: Final = """
    -- A job that will see, or whose run saw, what the ticket was at a moment. One that failed covers all
    -- until its end: a person runs it again, and its own writes shall not start it anew.
    SELECT job_id, correlation_id FROM bridge.jobs
    WHERE tenant_id = %(tenant_id)s AND ticket_id = %(ticket_id)s
        AND greatest(changed_at, started_at, CASE WHEN state IN ('failed', 'dead') THEN finished_at END)
            >= %(changed_at)s
    ORDER BY received_at DESC LIMIT 1
"""


class UnknownJobError(PermanentError):
    """The queue has no such job (any more)."""


@dataclass(frozen=True)
class Leases:
    """How long a job may be silent, in seconds.

    Attributes:
        claimed: From the claim until its run starts.
        running: From each `start`; longer than a run can live.
    """

    claimed: float
    running: float


@dataclass(frozen=True)
class RunStart:
    """A run that asks to be let in. `attempt` is the number in its tag."""

    job_id: UUID
    attempt: int
    run_id: str
    parent_run_id: str | None = None


class Queue:
    """Jobs from their claim on. Every method raises `DatabaseUnavailableError` where PostgreSQL is away."""

    def __init__(self, database: AsyncDatabase, leases: Leases) -> None:
        self._database = database
        self._leases = leases
        # A run that was under way before may have vanished because of what was down, not of its ticket.
        self._up_since = time.monotonic()

    async def claim(self, limit: int) -> Sequence[Claim]:
        """Lease up to `limit` jobs now; leases that ran out are taken back first."""
        values = {"limit": limit, "lease_seconds": self._leases.claimed}

        async def work(connection: Connection) -> list[dict[str, Any]]:
            await connection.execute(transitions.BEGIN_CLAIM)
            await self._expire(connection)
            probes = await (await connection.execute(transitions.PROBE, values)).fetchall()
            rest = values | {"limit": limit - len(probes)}
            return probes + await (await connection.execute(transitions.CLAIM, rest)).fetchall()

        return [_claim(row) for row in await self._database.transaction(work)]

    async def start(self, start: RunStart) -> Claim:
        """Let a run in, or not.

        Raises:
            FenceClosedError: It is not the job's current run, and no re-execution that may become it.
            UnknownJobError: There is no such job.
        """
        values = {
            "job_id": start.job_id,
            "attempt": start.attempt,
            "run_id": start.run_id,
            "parent_run_id": start.parent_run_id,
            "lease_seconds": self._leases.running,
        }

        async def work(connection: Connection) -> dict[str, Any] | None:
            row = await (await connection.execute(transitions.START, values)).fetchone()
            if row is None:
                await self._expire(connection, start.job_id)
                row = await (await connection.execute(transitions.REENTER, values)).fetchone()
            if row is None:
                await connection.execute(transitions.REFUSE, values)
            return row

        row = await self._database.transaction(work)
        if row is None:
            raise await self._refusal(start.job_id, f"run {start.run_id} is not its current one")
        return _claim(row)

    async def finish(self, start: RunStart, finish: Finish) -> str:
        """End the job, or give it back; returns the job's state. Repeated by the same run it changes nothing.

        Raises:
            FenceClosedError: The run is not the job's current one.
            UnknownJobError: There is no such job.
        """
        values = {
            "job_id": start.job_id,
            "attempt": start.attempt,
            "run_id": start.run_id,
            "state": STATE_AFTER[finish.outcome],
            "error": finish.error,
            "record": finish.record.model_dump_json(),
            "history_written": finish.history_written,
            "wait_seconds": _wait_seconds(finish.not_before),
        }
        gives_back = finish.outcome is JobOutcome.RETRY

        async def work(connection: Connection) -> str | None:
            statement = transitions.GIVE_BACK if gives_back else transitions.FINISH
            job = await (await connection.execute(statement, values)).fetchone()
            if job is None:
                earlier = await (await connection.execute(transitions.ENDED_BY, values)).fetchone()
                if earlier is None:
                    await connection.execute(transitions.REFUSE, values)
                return earlier["state"] if earlier else None
            await (_pause if gives_back else _resume)(connection, values | job)
            return job["state"]

        state = await self._database.transaction(work)
        if state is None:
            raise await self._refusal(start.job_id, f"run {start.run_id} may not end it")
        return state

    async def reopen(self, job_id: UUID) -> str:
        """Put an ended job back because a person asked; it is due whatever its text says. Returns its state.

        Raises:
            FenceClosedError: It is being worked on.
            UnknownJobError: There is no such job.
        """

        async def work(connection: Connection) -> dict[str, Any] | None:
            row = await (await connection.execute(transitions.REOPEN, {"job_id": job_id})).fetchone()
            if row:
                await connection.execute(transitions.WAKE, row)
            return row

        row = await self._database.transaction(work)
        if row is None:
            raise await self._refusal(job_id, "it is being worked on")
        return row["state"]

    async def sweep(self) -> None:
        """Take back what leases left behind, also while nobody claims."""

        async def work(connection: Connection) -> None:
            for row in await self._expire(connection):
                await connection.execute(transitions.WAKE, row)

        try:
            await self._database.transaction(work)
        except DatabaseUnavailableError:
            self._up_since = time.monotonic()
            raise

    async def owned_correlation_ids(
        self, tenant_id: str, ticket_id: str, correlation_ids: Iterable[UUID]
    ) -> list[UUID]:
        """Those of `correlation_ids` that belong to this tenant and ticket."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "SELECT correlation_id FROM bridge.jobs WHERE correlation_id = ANY(%s) "
                "AND tenant_id = %s AND ticket_id = %s",
                [list(correlation_ids), tenant_id, ticket_id],
            )
            return [row["correlation_id"] for row in await cursor.fetchall()]

    async def known_change(
        self, tenant_id: str, ticket_id: str, changed_at: datetime
    ) -> Mapping[str, Any] | None:
        """A job that covers what the ticket was at `changed_at`, if any."""
        values = {"tenant_id": tenant_id, "ticket_id": ticket_id, "changed_at": changed_at}
        async with self._database.connection() as connection:
            return await (await connection.execute(KNOWN_CHANGE, values)).fetchone()

    async def _expire(self, connection: Connection, job_id: UUID | None = None) -> list[dict[str, Any]]:
        values = {
            "job_id": job_id,
            "max_expiries": transitions.MAX_EXPIRIES,
            "max_excused": transitions.MAX_EXCUSED,
            "up_seconds": time.monotonic() - self._up_since,
        }
        rows = await (await connection.execute(transitions.EXPIRE, values)).fetchall()
        for row in rows:
            ids = {name: str(row[name]) for name in ("correlation_id", "tenant_id", "ticket_id", "job_id")}
            logger.bind(**ids).warning("job is {}: {}", row["state"], row["error"])
        return rows

    async def _refusal(self, job_id: UUID, reason: str) -> PermanentError:
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "SELECT state, attempt, run_id FROM bridge.jobs WHERE job_id = %s", [job_id]
            )
            job = await cursor.fetchone()
        if job is None:
            return UnknownJobError(f"there is no job {job_id}")
        now = f"{job['state']}, attempt {job['attempt']}, run {job['run_id']}"
        return FenceClosedError(f"job {job_id} is {now}: {reason}")


def _wait_seconds(not_before: datetime | None) -> float | None:
    if not_before is None:
        return None
    return min(MAX_WAIT_SECONDS, max(0.0, (not_before - datetime.now(UTC)).total_seconds()))


async def _pause(connection: Connection, values: Mapping[str, Any]) -> None:
    await connection.execute(pauses.PAUSE, values)
    logger.bind(tenant_id=values["tenant_id"], ticket_id=values["ticket_id"]).warning(
        "the service desk is away: the tenant's claims pause"
    )


async def _resume(connection: Connection, values: Mapping[str, Any]) -> None:
    await connection.execute(pauses.RELEASE, values)
    resumed = await (await connection.execute(pauses.RESUME, values)).fetchone()
    if resumed:
        logger.bind(tenant_id=values["tenant_id"]).info("the service desk answers: claims go on")
    whose = {"ticket_id": None} if resumed else {}
    await connection.execute(transitions.WAKE, {**values, **whose})


def _claim(row: Mapping[str, Any]) -> Claim:
    job = EnhancementJob(
        job_id=row["job_id"],
        ticket_id=row["ticket_id"],
        tenant_id=row["tenant_id"],
        description=row["description"] or "",
        priority=row["priority"],
        timestamp=row["received_at"],
        created_at=row["created_at"],
    )
    return Claim(
        job=job,
        attempt=max(1, row["attempt"]),
        correlation_id=row["correlation_id"],
        subject=row["subject"] or "",
        event=row["event"],
        asked_again=row["asked_again"],
        earlier_runs=tuple(row.get("earlier_runs", ())),
        lease_expires_at=row["lease_expires_at"],
    )
