"""The simulated service desk itself: tickets, articles and assets in memory, and what may be done to them."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.answers import Json, Refusal, not_found
from enhancer_dagster.simulator.dialects import dialect_of
from enhancer_dagster.simulator.directory import Directory
from enhancer_dagster.simulator.records import CLOSED, DONE_STATUSES, Asset, Note, Resolution, Ticket

Event = Literal["created", "updated"]
Listener = Callable[[Event, Ticket], None]
Clock = Callable[[], int]

_MOST_DIGITS = 6


def epoch_milliseconds() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


class SimulatedDesk:
    """Everything that a service desk remembers.

    Its methods do not await, so calls of one event loop never see half a change. Another thread may read
    and create; a list answer works on a copy.

    Args:
        edition: Which dialect ids and names follow.
        clock: Epoch milliseconds; injected by tests.
    """

    def __init__(self, edition: Edition, clock: Clock = epoch_milliseconds) -> None:
        self.dialect = dialect_of(edition)
        self.directory = Directory(self.dialect)
        self.tickets: dict[str, Ticket] = {}
        self.solutions: dict[str, Json] = {}
        self.assets: dict[str, Asset] = {}
        self.listeners: list[Listener] = []
        self.now = clock
        self._last_number: dict[str, int] = {"ticket": 100, "note": 200, "solution": 300, "asset": 1000}

    def next_id(self, kind: str) -> str:
        """A new id for a "ticket", "note", "solution" or "asset"."""
        self._last_number[kind] += 1
        return self.dialect.id_of(self._last_number[kind])

    def claim_id(self, kind: str, wanted: str) -> str:
        """The id that data from a file gets: its own number where it is one and free, else a new one."""
        taken = {"ticket": self.tickets, "solution": self.solutions, "asset": self.assets}[kind]
        is_number = wanted.isdecimal() and len(wanted) <= _MOST_DIGITS
        if not is_number or self.dialect.id_of(int(wanted)) in taken:
            return self.next_id(kind)
        self._last_number[kind] = max(self._last_number[kind], int(wanted))
        return self.dialect.id_of(int(wanted))

    def ticket(self, ticket_id: str) -> Ticket:
        """The ticket of this id, in the trash or not.

        Raises:
            Refusal: There is none.
        """
        if ticket_id not in self.tickets:
            raise not_found()
        return self.tickets[ticket_id]

    def editable(self, ticket_id: str) -> Ticket:
        """The ticket of this id, if it may be changed.

        Raises:
            Refusal: There is none, it is closed, or it is in the trash.
        """
        ticket = self.ticket(ticket_id)
        if ticket.trashed:
            raise Refusal(400, 4016, "Request is in trash")
        if ticket.status == CLOSED:
            raise Refusal(400, 4001, "Closed request cannot be edited")
        return ticket

    def create(
        self,
        values: Mapping[str, Any],
        *,
        ticket_id: str | None = None,
        created: int | None = None,
        announce: bool = True,
    ) -> Ticket:
        """Add a ticket.

        Args:
            values: Its fields, checked already.
            ticket_id: Its id; None: the next one.
            created: Epoch milliseconds; None: now.
            announce: Whether listeners hear of it.
        """
        ticket_id = ticket_id or self.next_id("ticket")
        created = self.now() if created is None else created
        named = self.directory.named
        defaults = {
            "requester": self.directory.administrator,
            "created_by": self.directory.administrator,
            "status": named("status", "Open"),
            "priority": named("priority", "Low"),
            "template": named("template", "Default Request"),
            "request_type": named("request_type", "Incident"),
            "mode": named("mode", "Web Form"),
        }
        ticket = Ticket(
            ticket_id=ticket_id,
            display_id=str(len(self.tickets) + 1),
            values={**defaults, **values},
            created=created,
            updated=created if self.dialect.counts_creation_as_update else None,
            assigned=created if values.get("technician") else None,
        )
        self.tickets[ticket_id] = ticket
        if announce:
            self._tell("created", ticket)
        return ticket

    def change(self, ticket: Ticket, values: Mapping[str, Any]) -> None:
        """Replace fields of a ticket. Listeners hear of it."""
        before = ticket.status
        ticket.values |= values
        ticket.updated = self.now()
        if values.get("technician"):
            ticket.assigned = ticket.updated
        if "status" in values:
            self._follow_status(ticket, before)
        self._tell("updated", ticket)

    def close(self, ticket: Ticket) -> None:
        """Close a ticket.

        Raises:
            Refusal: It is closed already.
        """
        if ticket.status == CLOSED:
            raise Refusal(400, 4001, "Request is already closed")
        self.change(ticket, {"status": self.directory.named("status", CLOSED)})

    def trash(self, ticket: Ticket) -> None:
        """Move a ticket to the trash.

        Raises:
            Refusal: It is there already.
        """
        if ticket.trashed:
            raise Refusal(400, 4016, "Already in trash")
        ticket.trashed = True
        ticket.deleted = self.now()
        ticket.deleted_by = self.directory.administrator

    def restore(self, ticket: Ticket) -> None:
        """Take a ticket out of the trash."""
        ticket.trashed = False
        ticket.deleted = ticket.deleted_by = None

    def purge(self, ticket_id: str) -> None:
        """Delete a ticket for ever."""
        self.tickets.pop(ticket_id, None)

    def resolve(self, ticket: Ticket, content: str) -> None:
        """Set the text of the resolution; the status stays."""
        ticket.resolution = Resolution(content, self.directory.administrator, self.now())
        ticket.updated = self.now()

    def add_note(self, ticket: Ticket, description: str, *, show_to_requester: bool) -> Note:
        """Add a note."""
        author, now = self.directory.administrator, self.now()
        note = Note(self.next_id("note"), description, show_to_requester, author, now, author, now)
        ticket.notes[note.note_id] = note
        return note

    def _follow_status(self, ticket: Ticket, before: str) -> None:
        after, now = ticket.status, self.now()
        if after in DONE_STATUSES and before not in DONE_STATUSES:
            ticket.resolved = now
        if after == CLOSED:
            ticket.completed = now
        if before in DONE_STATUSES and after not in DONE_STATUSES:
            ticket.reopened = True
            ticket.resolved = ticket.completed = None

    def _tell(self, event: Event, ticket: Ticket) -> None:
        for listener in self.listeners:
            listener(event, ticket)
