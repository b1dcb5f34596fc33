"""The port's verbs as calls to the REST API v3; where the editions differ, it is said here."""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TypeVar

from enhancer_dagster.adapters.service_desk.answers import MissingRecordError
from enhancer_dagster.adapters.service_desk.api import Api, Row
from enhancer_dagster.adapters.service_desk.assets import AssetForm, asset_page
from enhancer_dagster.adapters.service_desk.list_queries import article_list_info, page, ticket_list_info
from enhancer_dagster.adapters.service_desk.records import (
    article_from,
    has_resolution_field,
    linked_id_from,
    listed_ticket_from,
    note_from,
    resolution_in,
    ticket_from,
)
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import ServiceDeskRefusedError, TicketNotFoundError
from enhancer_dagster.domain.ports import Page, TicketQuery
from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.domain.tickets import Article, Asset, Note, Ticket

Record = TypeVar("Record", Ticket, Article)

_ID = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9_.:-]*")
_NOTE_KEYS = {Edition.ONPREM: ("note", "request_note"), Edition.CLOUD: ("request_note", "note")}
_NOTES_KEYS = ("notes", "request_notes")


class ServiceDeskPlus:
    """One tenant's ServiceDesk Plus (`domain.ports.ServiceDesk`)."""

    def __init__(self, api: Api, edition: Edition, asset_form: AssetForm) -> None:
        self._api = api
        self._note_keys = _NOTE_KEYS[edition]
        self._asset_form = asset_form

    def ticket(self, ticket_id: str, deadline: Deadline) -> Ticket:
        """The ticket with its description and resolution.

        Raises:
            TicketNotFoundError: There is none, or it is in the trash.
        """
        with _missing_ticket(ticket_id):
            row = self._api.get(_ticket_path(ticket_id), ("request",), deadline)
        ticket = ticket_from(row)
        if ticket.is_trashed:
            raise TicketNotFoundError(f"ticket {ticket_id} is in the trash")
        if ticket.is_open or has_resolution_field(row):
            return ticket
        return ticket.model_copy(update={"resolution": self._resolution(ticket_id, deadline)})

    def replace_description(self, ticket_id: str, html: str, deadline: Deadline) -> None:
        """Set the whole description."""
        with _missing_ticket(ticket_id):
            self._api.put(_ticket_path(ticket_id), "request", {"description": html}, deadline)

    def notes(self, ticket_id: str, deadline: Deadline) -> Sequence[Note]:
        """All notes of a ticket, with their text."""
        with _missing_ticket(ticket_id):
            notes = [note_from(row) for row in self._note_rows(ticket_id, deadline)]
        # On-premises lists omit the text; a note that is deleted meanwhile drops out.
        whole = (n if n.description is not None else self.note(ticket_id, n.note_id, deadline) for n in notes)
        return [note for note in whole if note is not None]

    def note(self, ticket_id: str, note_id: str, deadline: Deadline) -> Note | None:
        """One note with its text, None where there is none."""
        try:
            row = self._api.get(_note_path(ticket_id, note_id), self._note_keys, deadline)
        except MissingRecordError:
            return None
        return note_from(_with_text(row))

    def add_note(self, ticket_id: str, html: str, deadline: Deadline) -> str:
        """Add a note that the requester does not see; returns its id."""
        path = f"{_ticket_path(ticket_id)}/notes"
        with _missing_ticket(ticket_id):
            row = self._api.post(path, self._note_keys, _private_note(html), deadline)
        return note_from(row).note_id

    def replace_note(self, ticket_id: str, note_id: str, html: str, deadline: Deadline) -> None:
        """Set the whole text of a note, and hide it from the requester where someone showed it."""
        with _missing(f"note {note_id} of ticket {ticket_id}", ServiceDeskRefusedError):
            self._api.put(_note_path(ticket_id, note_id), self._note_keys[0], _private_note(html), deadline)

    def tickets(self, query: TicketQuery, deadline: Deadline) -> Page[Ticket]:
        """A page of tickets, oldest change first, without description and resolution.

        On premises, tickets that were never changed stand together at one end.
        """
        with _missing("the list of requests", ServiceDeskRefusedError):
            found = self._api.rows("requests", ("requests",), ticket_list_info(query), deadline)
        return _page([listed_ticket_from(row) for row in found.rows], query.start_index, found.has_more)

    def linked_tickets(self, ticket_id: str, deadline: Deadline) -> Sequence[str]:
        """The ids of the tickets that a person linked to this one; the first hundred."""
        path = f"{_ticket_path(ticket_id)}/link_requests"
        with _missing_ticket(ticket_id):
            found = self._api.rows(path, ("link_requests",), page(1), deadline)
        return [linked for row in found.rows if (linked := linked_id_from(row))]

    def article(self, article_id: str, deadline: Deadline) -> Article:
        """One article with its content."""
        with _missing(f"solution {article_id}", ServiceDeskRefusedError):
            row = self._api.get(f"solutions/{_segment(article_id)}", ("solution",), deadline)
        return article_from(_with_text(row))

    def articles(self, start_index: int, updated_since: datetime | None, deadline: Deadline) -> Page[Article]:
        """A page of articles, without content where the list omits it."""
        list_info = article_list_info(start_index, updated_since)
        with _missing("the list of solutions", ServiceDeskRefusedError):
            found = self._api.rows("solutions", ("solutions",), list_info, deadline)
        return _page([article_from(row) for row in found.rows], start_index, found.has_more)

    def assets(self, start_index: int, deadline: Deadline) -> Page[Asset]:
        """A page of the inventory; an asset may come twice, the later time with more that is known of it."""
        return asset_page(self._api, self._asset_form, start_index, deadline)

    def _resolution(self, ticket_id: str, deadline: Deadline) -> str | None:
        path = f"{_ticket_path(ticket_id)}/resolutions"
        try:
            return resolution_in({"resolution": self._api.get(path, ("resolution",), deadline)})
        except MissingRecordError:
            return None

    def _note_rows(self, ticket_id: str, deadline: Deadline) -> Iterator[Row]:
        path, start_index = f"{_ticket_path(ticket_id)}/notes", 1
        while True:
            found = self._api.rows(path, _NOTES_KEYS, page(start_index), deadline)
            yield from found.rows
            start_index += len(found.rows)
            if not found.has_more or not found.rows:
                return


def _with_text(row: Row) -> Row:
    """A single answer, whose text may be empty but is not left out."""
    return {**row, "description": row.get("description") or ""}


def _private_note(html: str) -> Row:
    return {"description": html, "show_to_requester": False}


def _page(rows: Sequence[Record], start_index: int, has_more: bool) -> Page[Record]:
    # By what came, not by what was asked for: SDP may give fewer rows a page.
    return Page(rows, start_index + len(rows) if has_more and rows else None)


def _ticket_path(ticket_id: str) -> str:
    return f"requests/{_segment(ticket_id)}"


def _note_path(ticket_id: str, note_id: str) -> str:
    return f"{_ticket_path(ticket_id)}/notes/{_segment(note_id)}"


def _segment(record_id: str) -> str:
    """An id as part of a path; one that would lead elsewhere is refused."""
    if _ID.fullmatch(record_id) is None:
        raise ServiceDeskRefusedError("no record has an id of this form")
    return record_id


def _missing_ticket(ticket_id: str) -> AbstractContextManager[None]:
    return _missing(f"ticket {ticket_id}", TicketNotFoundError)


@contextmanager
def _missing(what: str, as_error: type[ServiceDeskRefusedError]) -> Iterator[None]:
    try:
        yield
    except MissingRecordError as error:
        raise as_error(f"{what} is not there ({error})") from error
