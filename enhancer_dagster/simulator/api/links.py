"""`/requests/{id}/link_requests`: tickets that belong together."""

from typing import Any

from enhancer_dagster.simulator.answers import SUCCESS, Answer, Json, done, invalid_input
from enhancer_dagster.simulator.api.call import Call
from enhancer_dagster.simulator.records import Ticket

_KEY = "link_requests"


def list_links(call: Call) -> Answer:
    """GET."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    links = [
        {"comments": comment, "linked_request": _shown(call.desk.tickets[other])}
        for other, comment in ticket.links.items()
        if other in call.desk.tickets
    ]
    return Answer(200, {"response_status": [dict(SUCCESS)], _KEY: links})


def add_links(call: Call) -> Answer:
    """POST."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    for other, comment in _others(call):
        ticket.links[other.ticket_id] = comment
        other.links[ticket.ticket_id] = comment
    call.record.wrote(ticket.ticket_id)
    return done("Request successfully linked")


def delete_links(call: Call) -> Answer:
    """DELETE."""
    ticket = call.desk.ticket(call.path["ticket_id"])
    for other, _ in _others(call):
        ticket.links.pop(other.ticket_id, None)
        other.links.pop(ticket.ticket_id, None)
    call.record.wrote(ticket.ticket_id)
    return done("The request[s] link are removed successfully.")


def _others(call: Call) -> list[tuple[Ticket, str | None]]:
    given: Any = call.input_data.get(_KEY)
    if not isinstance(given, list):
        raise invalid_input(_KEY)
    others = []
    for link in given:
        linked = link.get("linked_request") if isinstance(link, dict) else None
        if not isinstance(linked, dict):
            raise invalid_input("linked_request")
        others.append((call.desk.ticket(str(linked.get("id"))), link.get("comments")))
    return others


def _shown(ticket: Ticket) -> Json:
    return {
        "subject": ticket.subject,
        "id": ticket.ticket_id,
        "udf_fields": {"udf_char1": None},
        "display_id": ticket.display_id,
    }
