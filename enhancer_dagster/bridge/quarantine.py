"""Deliveries that were genuine but could not be read: kept with their bytes until a person decides."""

from collections.abc import Sequence
from typing import Any

from enhancer_dagster.bridge.database import AsyncDatabase
from enhancer_dagster.bridge.intake import Accepted, Delivery, Intake
from enhancer_dagster.bridge.payload import PayloadError, WebhookPayload, parse_payload
from enhancer_dagster.bridge.verification import DeliveryKey
from enhancer_dagster.domain.errors import PermanentError

PUT = """
    INSERT INTO bridge.quarantine AS kept (tenant_id, delivery_id, remember_seconds, reason, fields, body)
    VALUES (%(tenant_id)s, %(delivery_id)s, %(remember_seconds)s, %(reason)s, %(fields)s, %(body)s)
    ON CONFLICT (tenant_id, delivery_id) DO UPDATE SET reason = excluded.reason, fields = excluded.fields
    RETURNING quarantine_id
"""
LIST = """
    SELECT quarantine_id, tenant_id, delivery_id, received_at, state, reason, fields, job_id,
        octet_length(body) AS size
    FROM bridge.quarantine
    WHERE (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
        AND (%(state)s::text IS NULL OR state = %(state)s)
        AND (%(before)s::bigint IS NULL OR quarantine_id < %(before)s)
    ORDER BY quarantine_id DESC LIMIT %(limit)s
"""
SHOW = "SELECT * FROM bridge.quarantine WHERE quarantine_id = %s"
SETTLE = """
    UPDATE bridge.quarantine SET state = %(state)s, job_id = %(job_id)s, settled_at = now()
    WHERE quarantine_id = %(quarantine_id)s AND state = 'waiting' RETURNING quarantine_id
"""


class UnknownQuarantineError(PermanentError):
    """There is no such entry (any more)."""


class SettledError(PermanentError):
    """The entry was replayed or discarded before."""


class Quarantine:
    """The table of unreadable deliveries. Every method raises `DatabaseUnavailableError`."""

    def __init__(self, database: AsyncDatabase, intake: Intake) -> None:
        self._database = database
        self._intake = intake

    async def put(self, tenant_id: str, key: DeliveryKey, body: bytes, error: PayloadError) -> int:
        """Keep a delivery; the same one again keeps its entry. Returns the entry's number."""
        values = {
            "tenant_id": tenant_id,
            "delivery_id": key.delivery_id,
            "remember_seconds": key.remember_seconds,
            "reason": str(error),
            "fields": list(error.fields),
            "body": body,
        }
        async with self._database.connection() as connection:
            (row,) = await (await connection.execute(PUT, values)).fetchall()
        return row["quarantine_id"]

    async def list(
        self, tenant_id: str | None, state: str | None, before: int | None, limit: int
    ) -> Sequence[dict[str, Any]]:
        """Entries without their bodies, newest first."""
        values = {"tenant_id": tenant_id, "state": state, "before": before, "limit": limit}
        async with self._database.connection() as connection:
            return await (await connection.execute(LIST, values)).fetchall()

    async def show(self, quarantine_id: int) -> dict[str, Any]:
        """One entry with its body.

        Raises:
            UnknownQuarantineError: There is none of this number.
        """
        row = await self._one(SHOW, [quarantine_id])
        if row is None:
            raise UnknownQuarantineError(f"there is no quarantine entry {quarantine_id}")
        return row

    async def replay(self, quarantine_id: int, body: bytes | None) -> Accepted:
        """Take the delivery in after all, with a corrected body where one is given.

        Raises:
            UnknownQuarantineError: There is none of this number.
            SettledError: It was replayed or discarded before.
            PayloadError: It still cannot be read.
        """
        entry = await self._waiting(quarantine_id)
        payload = parse_payload(body if body is not None else entry["body"])
        key = DeliveryKey(entry["delivery_id"], entry["remember_seconds"])
        accepted = await self._intake.accept(delivery_of(entry["tenant_id"], key, payload))
        await self._settle(quarantine_id, "replayed", accepted)
        return accepted

    async def discard(self, quarantine_id: int) -> None:
        """Mark the entry as not wanted; its body stays until retention takes it.

        Raises:
            UnknownQuarantineError: There is none of this number.
            SettledError: It was replayed or discarded before.
        """
        await self._waiting(quarantine_id)
        await self._settle(quarantine_id, "discarded", None)

    async def _waiting(self, quarantine_id: int) -> dict[str, Any]:
        entry = await self.show(quarantine_id)
        if entry["state"] != "waiting":
            raise SettledError(f"quarantine entry {quarantine_id} was {entry['state']} before")
        return entry

    async def _settle(self, quarantine_id: int, state: str, accepted: Accepted | None) -> None:
        job_id = accepted.job_id if accepted else None
        await self._one(SETTLE, {"quarantine_id": quarantine_id, "state": state, "job_id": job_id})

    async def _one(self, statement: Any, values: Any) -> dict[str, Any] | None:
        async with self._database.connection() as connection:
            return await (await connection.execute(statement, values)).fetchone()


def delivery_of(tenant_id: str, key: DeliveryKey, payload: WebhookPayload) -> Delivery:
    """A webhook's content as the queue takes it in."""
    return Delivery(
        tenant_id=tenant_id,
        delivery_id=key.delivery_id,
        remember_seconds=key.remember_seconds,
        ticket_id=payload.ticket_id,
        subject=payload.subject,
        description=payload.description,
        event=payload.event,
        priority=payload.priority,
        created_at=payload.created_at,
        correlation_id=payload.correlation_id,
    )
