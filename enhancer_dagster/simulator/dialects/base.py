"""What a dialect has to say about tickets, notes, people and named values."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from enhancer_dagster.simulator.answers import Json
from enhancer_dagster.simulator.records import Note, Resolution, Ticket
from enhancer_dagster.simulator.values import shown_time

REFERENCES = (
    *("status", "priority", "urgency", "impact", "level", "mode", "request_type", "category", "subcategory"),
    *("item", "service_category", "group", "site", "template", "technician"),
)
"""Fields of a request that hold one of a fixed set of named values."""

TIMES = {
    "created_time": "created",
    "last_updated_time": "updated",
    "assigned_time": "assigned",
    "resolved_time": "resolved",
    "completed_time": "completed",
    "deleted_time": "deleted",
    "deleted_on": "deleted",
}
"""Times of a request and the attribute of `Ticket` that holds each."""


class Dialect(ABC):
    """An edition's way of naming and showing things."""

    note_name: str
    notes_name: str
    extra_key_message: str
    request_defaults: ClassVar[Json]
    """Every key of a single request, with the value of one that was never set."""
    row_fields: tuple[str, ...]
    """Keys of a request in a list."""
    echoes_sort: bool
    """Whether a list answer names the sort order that nobody asked for."""
    lists_note_text: bool
    counts_creation_as_update: bool
    """Whether `last_updated_time` is set from the start, or null until the first change."""

    @abstractmethod
    def reference(self, field: str, number: int, name: str) -> Json:
        """A named value as it is shown; `number` makes its id."""

    @abstractmethod
    def person(self, number: int, name: str, email: str | None = None) -> Json:
        """A requester."""

    @abstractmethod
    def technician(self, number: int, name: str, email: str | None = None) -> Json:
        """A technician as the `technician` of a request."""

    @abstractmethod
    def id_of(self, number: int) -> str:
        """The id with this running number."""

    @abstractmethod
    def catalogue(self) -> dict[str, Sequence[tuple[int, str]]]:
        """The named values a fresh service desk has: number and name, by field."""

    @abstractmethod
    def request(self, ticket: Ticket) -> Json:
        """A single request with all its keys."""

    def note(self, ticket: Ticket, note: Note) -> Json:
        """A single note with all its keys."""
        return {
            "request": {"subject": ticket.subject, "id": ticket.ticket_id},
            "last_updated_by": note.updated_by,
            "added_time": shown_time(note.added),
            "has_attachments": False,
            "attachments": [],
            "last_updated_time": shown_time(note.updated),
            "added_by": note.added_by,
            "show_to_requester": note.show_to_requester,
            "description": note.description,
            "id": note.note_id,
        }

    def row(self, ticket: Ticket) -> Json:
        """A request in a list."""
        full = self.request(ticket) | self.row_extras(ticket)
        return {name: full[name] for name in self.row_fields}

    def row_extras(self, ticket: Ticket) -> Json:
        """Keys that only rows have."""
        return {}

    def note_row(self, ticket: Ticket, note: Note) -> Json:
        """A note in a list."""
        shown = self.note(ticket, note)
        if not self.lists_note_text:
            del shown["description"], shown["has_attachments"]
        return shown

    def resolution(self, resolution: Resolution | None) -> Json:
        """A ticket's resolution, all keys null where there is none."""
        return {
            "submitted_on": shown_time(resolution.submitted) if resolution else None,
            "submitted_by": resolution.submitted_by if resolution else None,
            "resolution_attachments": [],
            "content": resolution.content if resolution else None,
        }

    def knows(self, field: str) -> bool:
        """Whether a request has a field of this name, to sort and search by."""
        return field in self.request_defaults or field in TIMES
