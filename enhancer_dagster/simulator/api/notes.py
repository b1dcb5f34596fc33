"""`/requests/{id}/notes`."""

from enhancer_dagster.simulator.answers import SUCCESS, Answer, Json, entity, missing, not_found
from enhancer_dagster.simulator.api.call import Call
from enhancer_dagster.simulator.input_data import check_keys, html_of, only_entity
from enhancer_dagster.simulator.listing import Listed, list_answer, read_shown
from enhancer_dagster.simulator.records import Note, Ticket

_KEYS = frozenset(
    {"description", "show_to_requester", "notify_technician", "mark_first_response", "add_to_linked_requests"}
)


def list_notes(call: Call) -> Answer:
    """GET /requests/{id}/notes; on premises without the text."""
    dialect = call.dialect
    ticket = call.desk.ticket(call.path["ticket_id"])
    listed = Listed(
        name=dialect.notes_name,
        rows=list(ticket.notes.values()),
        knows=lambda field: field in {"id", "added_time", "last_updated_time", "show_to_requester"},
        read=lambda note, path: read_shown(dialect.note(ticket, note), path),
        show=lambda note: dialect.note_row(ticket, note),
        full=lambda note: dialect.note_row(ticket, note),
        default_sort=("last_updated_time", "asc"),
    )
    return list_answer(listed, call.input_data, dialect)


def show_note(call: Call) -> Answer:
    """GET /requests/{id}/notes/{note_id}."""
    ticket, note = _found(call)
    return entity(call.dialect.note_name, call.dialect.note(ticket, note))


def add_note(call: Call) -> Answer:
    """POST /requests/{id}/notes."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    given = _given(call)
    text = html_of(given.get("description"), "description")
    if not text:
        raise missing("description")
    note = call.desk.add_note(ticket, text, show_to_requester=bool(given.get("show_to_requester", False)))
    call.record.wrote(ticket.ticket_id, text)
    return entity(call.dialect.note_name, call.dialect.note(ticket, note), 201)


def edit_note(call: Call) -> Answer:
    """PUT /requests/{id}/notes/{note_id}."""
    ticket, note = _found(call)
    given = _given(call)
    if "description" in given:
        note.description = html_of(given["description"], "description") or ""
    note.show_to_requester = bool(given.get("show_to_requester", note.show_to_requester))
    note.updated, note.updated_by = call.desk.now(), call.desk.directory.administrator
    call.record.wrote(ticket.ticket_id, note.description)
    return entity(call.dialect.note_name, call.dialect.note(ticket, note))


def delete_note(call: Call) -> Answer:
    """DELETE /requests/{id}/notes/{note_id}."""
    ticket, note = _found(call)
    del ticket.notes[note.note_id]
    call.record.wrote(ticket.ticket_id)
    return Answer(200, {"response_status": dict(SUCCESS)})


def _given(call: Call) -> Json:
    given = only_entity(call.input_data, call.dialect.note_name, call.dialect.extra_key_message)
    check_keys(given, _KEYS, call.dialect.extra_key_message)
    return given


def _found(call: Call) -> tuple[Ticket, Note]:
    ticket = call.desk.ticket(call.path["ticket_id"])
    note = ticket.notes.get(call.path["note_id"])
    if note is None:
        raise not_found()
    return ticket, note
