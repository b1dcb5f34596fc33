"""Takes deliveries in, durably: what arrives while one commit is under way goes into the next, together."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from enhancer_dagster.bridge import transitions
from enhancer_dagster.bridge.database import AsyncDatabase, Connection
from enhancer_dagster.domain.errors import DatabaseUnavailableError
from enhancer_dagster.domain.tickets import Priority

MAX_BATCH = 256
MAX_BATCH_BYTES = 4 * 2**20
MAX_WAITING_BYTES = 64 * 2**20
ROW_BYTES = 1024
"""What a delivery without any text is counted as."""
ACCEPT_SECONDS = 8.0


@dataclass(frozen=True)
class Delivery:
    """A change of a ticket that somebody reports, and how long its id is remembered.

    `subject` and `description` are None where the sender does not know them.
    """

    tenant_id: str
    delivery_id: str
    remember_seconds: int
    ticket_id: str
    subject: str | None = None
    description: str | None = None
    event: str = ""
    priority: str = ""
    created_at: datetime | None = None
    correlation_id: UUID | None = None
    asked_again: bool = False


@dataclass(frozen=True)
class Accepted:
    """Which job a delivery is in; `duplicate` where it had been taken in before."""

    job_id: UUID
    correlation_id: UUID
    duplicate: bool


@dataclass
class _Waiting:
    delivery: Delivery
    size: int
    answer: asyncio.Future[Accepted] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Intake:
    """Writes deliveries in batches, one statement each: they and their jobs become durable together."""

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()

    async def accept(self, delivery: Delivery) -> Accepted:
        """Put `delivery` into its ticket's job, new or waiting; returns after the commit.

        Raises:
            DatabaseUnavailableError: It could not be stored, or nobody knows within 8 s.
        """
        size = ROW_BYTES + len(delivery.description or "") + len(delivery.subject or "")
        if self._waiting_bytes + size > MAX_WAITING_BYTES:
            raise DatabaseUnavailableError("too many deliveries wait for PostgreSQL")
        waiting = _Waiting(delivery, size)
        self._waiting.append(waiting)
        self._waiting_bytes += size
        self._arrived.set()
        try:
            async with asyncio.timeout(ACCEPT_SECONDS):
                return await waiting.answer
        except TimeoutError as error:
            raise DatabaseUnavailableError("PostgreSQL did not commit in time") from error

    async def run(self) -> None:
        """Write what arrives, until cancelled."""
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not self._waiting:
                self._arrived.clear()
            if not batch:
                continue
            try:
                answers = await self._write([one.delivery for one in batch])
            except DatabaseUnavailableError as error:
                for one in batch:
                    _fail(one, error)
            else:
                for one, answer in zip(batch, answers, strict=True):
                    if not one.answer.done():
                        one.answer.set_result(answer)

    def _next_batch(self) -> list[_Waiting]:
        """The oldest that wait; a second one of a ticket, delivery or correlation id is left for the next."""
        batch: list[_Waiting] = []
        left: list[_Waiting] = []
        keys: set[object] = set()
        size = 0
        full = False
        for one in self._waiting:
            if one.answer.done():
                self._waiting_bytes -= one.size
                continue
            own = _keys(one.delivery)
            full = full or len(batch) == MAX_BATCH or bool(batch and size + one.size > MAX_BATCH_BYTES)
            if full or not keys.isdisjoint(own):
                left.append(one)
            else:
                batch.append(one)
                size += one.size
            keys |= own
        self._waiting = left
        self._waiting_bytes -= size
        return batch

    async def _write(self, deliveries: Sequence[Delivery]) -> list[Accepted]:
        batch = json.dumps([_row(position, one) for position, one in enumerate(deliveries)])

        async def work(connection: Connection) -> list[Accepted]:
            cursor = await connection.execute(transitions.ACCEPT, {"batch": batch})
            rows = sorted(await cursor.fetchall(), key=lambda row: row["position"])
            return [Accepted(row["job_id"], row["correlation_id"], row["duplicate"]) for row in rows]

        return await self._database.statement(work)


def _keys(delivery: Delivery) -> set[object]:
    keys: set[object] = {
        ("ticket", delivery.tenant_id, delivery.ticket_id),
        ("delivery", delivery.tenant_id, delivery.delivery_id),
    }
    return keys | {delivery.correlation_id} if delivery.correlation_id else keys


def _row(position: int, delivery: Delivery) -> dict[str, object]:
    created_at, sender = delivery.created_at, delivery.correlation_id
    return {
        "position": position,
        "tenant_id": delivery.tenant_id,
        "delivery_id": delivery.delivery_id,
        "remember_seconds": delivery.remember_seconds,
        "job_id": str(uuid4()),
        "correlation_id": str(uuid4()),
        "sender_correlation_id": str(sender) if sender else None,
        "ticket_id": delivery.ticket_id,
        "subject": delivery.subject,
        "description": delivery.description,
        "event": delivery.event,
        "priority": delivery.priority,
        "priority_rank": Priority.named(delivery.priority).dagster_priority,
        "created_at": created_at.isoformat() if created_at else None,
        "asked_again": delivery.asked_again,
    }


def _fail(one: _Waiting, error: DatabaseUnavailableError) -> None:
    if not one.answer.done():
        one.answer.set_exception(error)
