"""`/requests`: tickets."""

from typing import Any

from enhancer_dagster.simulator.answers import (
    Answer,
    Refusal,
    done,
    entity,
    invalid_input,
    missing,
    not_found,
)
from enhancer_dagster.simulator.api.call import Call
from enhancer_dagster.simulator.dialects import Dialect
from enhancer_dagster.simulator.dialects.base import TIMES
from enhancer_dagster.simulator.input_data import REQUEST_KEYS, check_keys, only_entity, request_values
from enhancer_dagster.simulator.listing import Listed, list_answer, read_shown
from enhancer_dagster.simulator.records import CLOSED, Ticket


def ticket_value(dialect: Dialect, ticket: Ticket, path: str) -> Any:
    """What a ticket holds at `path`, to search and sort by; times are milliseconds."""
    head, _, rest = path.partition(".")
    if head in TIMES:
        return getattr(ticket, TIMES[head])
    if not rest and head in ("id", "display_id"):
        return ticket.ticket_id if head == "id" else ticket.display_id
    if head in ticket.values:
        return read_shown({head: ticket.values[head]}, path)
    return read_shown(dialect.request(ticket), path)


def list_requests(call: Call) -> Answer:
    """GET /requests."""
    dialect = call.dialect
    listed = Listed(
        name="requests",
        rows=[ticket for ticket in list(call.desk.tickets.values()) if not ticket.trashed],
        knows=dialect.knows,
        read=lambda ticket, path: ticket_value(dialect, ticket, path),
        show=dialect.row,
        full=lambda ticket: dialect.request(ticket) | dialect.row_extras(ticket),
        default_sort=("created_time", "desc"),
    )
    return list_answer(listed, call.input_data, dialect)


def show_request(call: Call) -> Answer:
    """GET /requests/{id}."""
    return entity("request", call.dialect.request(call.desk.ticket(call.path["ticket_id"])))


def add_request(call: Call) -> Answer:
    """POST /requests."""
    values = _values(call)
    if "subject" not in values:
        raise missing("subject")
    ticket = call.desk.create(values)
    call.record.wrote(ticket.ticket_id, ticket.description)
    return entity("request", call.dialect.request(ticket), 201)


def edit_request(call: Call) -> Answer:
    """PUT /requests/{id}: what is given replaces what was there. A closed ticket can only be reopened."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    values = _values(call)
    if not _reopens(ticket, values):
        call.desk.editable(ticket.ticket_id)
    call.desk.change(ticket, values)
    call.record.wrote(ticket.ticket_id, values.get("description"))
    return entity("request", call.dialect.request(ticket))


def assign_request(call: Call) -> Answer:
    """PUT /requests/{id}/assign."""
    ticket = call.desk.editable(call.path["ticket_id"])
    given = only_entity(call.input_data, "request", call.dialect.extra_key_message)
    check_keys(given, frozenset({"group", "technician"}), call.dialect.extra_key_message)
    call.desk.change(ticket, request_values(given, call.desk.directory))
    call.record.wrote(ticket.ticket_id)
    return done("Assigned successfully.")


def pick_up_request(call: Call) -> Answer:
    """PUT /requests/{id}/pickup: the key's owner takes it."""
    ticket = call.desk.editable(call.path["ticket_id"])
    technician = call.desk.directory.named("technician", "administrator")
    call.desk.change(ticket, {"technician": technician})
    call.record.wrote(ticket.ticket_id)
    return done("Request(s) picked up successfully.")


def close_request(call: Call) -> Answer:
    """PUT /requests/{id}/close, with or without `closure_info`."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    if call.input_data:
        given = only_entity(call.input_data, "request", call.dialect.extra_key_message)
        check_keys(given, frozenset({"closure_info"}), call.dialect.extra_key_message)
    call.desk.close(ticket)
    call.record.wrote(ticket.ticket_id)
    return done("Request(s) closed successfully.")


def trash_request(call: Call) -> Answer:
    """DELETE /requests/{id}/move_to_trash."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    call.desk.trash(ticket)
    call.record.wrote(ticket.ticket_id)
    return entity("request", call.dialect.request(ticket))


def restore_request(call: Call) -> Answer:
    """PUT /requests/{id}/restore_from_trash."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    if not ticket.trashed:
        raise not_found()
    call.desk.restore(ticket)
    call.record.wrote(ticket.ticket_id)
    return done("Request(s) restored successfully.")


def delete_request(call: Call) -> Answer:
    """DELETE /requests/{id}: for ever, and only out of the trash."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    if not ticket.trashed:
        raise Refusal(400, 4001, "Not in trash")
    call.desk.purge(ticket.ticket_id)
    call.record.wrote(ticket.ticket_id)
    return done("Request(s) deleted successfully.")


def _values(call: Call) -> dict[str, Any]:
    message = call.dialect.extra_key_message
    given = only_entity(call.input_data, "request", message)
    check_keys(given, REQUEST_KEYS, message)
    resolution = given.get("resolution")
    if resolution is not None and not isinstance(resolution, dict):
        raise invalid_input("resolution")
    return request_values(given, call.desk.directory)


def _reopens(ticket: Ticket, values: dict[str, Any]) -> bool:
    closed = ticket.status == CLOSED and not ticket.trashed
    return closed and "status" in values and values["status"]["name"] != CLOSED
