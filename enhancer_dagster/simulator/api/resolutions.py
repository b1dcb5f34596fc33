"""`/requests/{id}/resolutions`: how a ticket was solved."""

from enhancer_dagster.simulator.answers import SUCCESS, Answer, done, missing
from enhancer_dagster.simulator.api.call import Call
from enhancer_dagster.simulator.input_data import check_keys, html_of, only_entity

_KEYS = frozenset({"content", "add_to_linked_requests"})


def show_resolution(call: Call) -> Answer:
    """GET; all its keys are null where there is none."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    shown = call.dialect.resolution(ticket.resolution)
    return Answer(200, {"response_status": dict(SUCCESS), "resolution": shown})


def add_resolution(call: Call) -> Answer:
    """POST."""
    _set(call)
    return done("Resolution added successfully.", 201)


def edit_resolution(call: Call) -> Answer:
    """PUT."""
    _set(call)
    return done("Resolution updated successfully.")


def _set(call: Call) -> None:
    ticket = call.desk.editable(call.path["ticket_id"])
    given = only_entity(call.input_data, "resolution", call.dialect.extra_key_message)
    check_keys(given, _KEYS, call.dialect.extra_key_message)
    content = html_of(given.get("content"), "content")
    if content is None:
        raise missing("content")
    call.desk.resolve(ticket, content)
    call.record.wrote(ticket.ticket_id, content)
