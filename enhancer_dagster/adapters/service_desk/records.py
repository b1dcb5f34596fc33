"""SDP's requests, notes and solutions as the domain's tickets, notes and articles."""

from enhancer_dagster.adapters.service_desk.api import Row
from enhancer_dagster.adapters.service_desk.fields import html, moment, name, readable, text
from enhancer_dagster.domain.tickets import Article, Note, Ticket

_ENDED = frozenset({"closed", "resolved", "cancelled", "canceled"})


def ticket_from(row: Row) -> Ticket:
    """The ticket in a single answer."""
    created = moment(row.get("created_time"))
    with readable("a request"):
        return Ticket(
            ticket_id=text(row.get("id")),
            subject=text(row.get("subject")),
            description=text(row.get("description")),
            resolution=resolution_in(row),
            status=name(row.get("status")),
            is_open=is_open(row.get("status")),
            is_trashed=row.get("is_trashed") is True,
            priority=name(row.get("priority")),
            group=name(row.get("group")),
            site=name(row.get("site")),
            template=name(row.get("template")),
            created_at=created,
            # On premises a ticket that was never changed has no time of change.
            updated_at=moment(row.get("last_updated_time")) or created,
            has_notes=row.get("has_notes") is True,
            has_links=row.get("has_linked_requests") is True,
        )


def listed_ticket_from(row: Row) -> Ticket:
    """The ticket in a row of a list, which has neither description nor resolution."""
    return ticket_from(row).model_copy(update={"description": None, "resolution": None})


def linked_id_from(row: Row) -> str:
    """The id of the other ticket in a row of a ticket's links; "" where it names none."""
    linked = row.get("linked_request")
    return text(linked.get("id")) if isinstance(linked, dict) else ""


def is_open(status: object) -> bool:
    """Whether a ticket in this status is still worked on; a status of the customer's own counts as open.

    The cloud says so itself (`in_progress`) and keeps SDP's own name in `internal_name`, whatever the
    customer calls it. On premises there is only the name.
    """
    if isinstance(status, dict) and isinstance(status.get("in_progress"), bool):
        return status["in_progress"]
    own_name = text(status.get("internal_name")) if isinstance(status, dict) else ""
    return (own_name or name(status)).casefold() not in _ENDED


def has_resolution_field(row: Row) -> bool:
    """Whether a request's answer says what its resolution is, and be it "none"; the cloud's says null."""
    resolution = row.get("resolution")
    return isinstance(resolution, dict) and "content" in resolution


def resolution_in(row: Row) -> str | None:
    """The text of a request's resolution, None where there is none."""
    resolution = row.get("resolution")
    return (html(resolution.get("content")) if isinstance(resolution, dict) else None) or None


def note_from(row: Row) -> Note:
    """A note; its text is None in the on-premises lists, which omit it."""
    with readable("a note"):
        return Note(
            note_id=text(row.get("id")),
            description=html(row.get("description")),
            shown_to_requester=row.get("show_to_requester") is True,
            updated_at=moment(row.get("last_updated_time")) or moment(row.get("added_time")),
        )


def article_from(row: Row) -> Article:
    """An article; its content is None where a list omits it."""
    with readable("a solution"):
        return Article(
            article_id=text(row.get("id")),
            title=text(row.get("title")),
            content=html(row.get("description")),
            topic=name(row.get("topic")),
            is_public=row.get("is_public") is True,
            updated_at=moment(row.get("last_updated_time")) or moment(row.get("created_time")),
        )
