"""The on-premises edition, as recorded with a build of 2022."""

from collections.abc import Sequence
from typing import ClassVar

from enhancer_dagster.simulator.answers import Json
from enhancer_dagster.simulator.dialects.base import Dialect
from enhancer_dagster.simulator.records import Ticket
from enhancer_dagster.simulator.values import excerpt, shown_time

_COLORS = {
    "Open": "#0066ff",
    "Onhold": "#ff0000",
    "Closed": "#006600",
    "Resolved": "#00ff66",
    "Low": "#666666",
    "Normal": "#006600",
    "Medium": "#ff6600",
    "High": "#ff0000",
    "Urgent": "#990000",
}
_DEFAULT_COLOR = "#666666"

_NULL = (
    *("ola_due_by_time", "linked_to_request", "onhold_time", "lifecycle", "reason_for_cancel", "group"),
    *("cancel_requested_by", "sla_violated_technician", "item", "approval_status", "impact"),
    *("service_category", "sla", "priority", "sla_violated_group", "scheduled_end_time"),
    *("first_response_due_by_time", "impact_details", "subcategory", "status", "scheduled_start_time"),
    *("template", "primary_asset", "request_type", "cancel_requested_time", "notification_status"),
    *("description", "callback_url", "urgency", "department", "technician", "due_by_time", "site"),
    *("recommend_template", "unreplied_count", "category", "subject", "mode", "level", "requester"),
    *("created_by", "created_time", "last_updated_time", "assigned_time", "resolution", "id"),
)
_FALSE = (
    *("is_read", "is_trashed", "has_resolution_attachments", "has_notes", "has_dependency"),
    *("has_conversation", "is_service_request", "is_shared", "cancel_requested", "is_reopened", "has_draft"),
    *("has_request_initiated_change", "has_attachments", "has_linked_requests", "is_overdue"),
    *("has_request_caused_by_change", "has_problem", "has_project", "is_first_response_overdue"),
    "cancel_requested_is_pending",
)
_EMPTY = ("assets", "email_to", "tags", "email_cc", "email_ids_to_notify", "request_template_task_ids")


class OnPremisesDialect(Dialect):
    """`/api/v3` of a server one runs oneself: short ids, `note`, times that are null until they happen."""

    note_name = "note"
    notes_name = "notes"
    extra_key_message = "Extra key found in JSON"
    request_defaults: ClassVar[Json] = {
        **dict.fromkeys(_NULL),
        **dict.fromkeys(_FALSE, False),
        **{name: [] for name in _EMPTY},
        "udf_fields": {},
        "chat_type": 0,
    }
    row_fields = (
        *("requester", "template", "short_description", "created_time", "subject", "time_elapsed"),
        *("is_overdue", "technician", "priority", "created_by", "due_by_time", "response_time_elapsed"),
        *("site", "is_service_request", "cancel_requested_is_pending", "cancel_requested", "id", "status"),
        "group",
    )
    echoes_sort = True
    lists_note_text = False
    counts_creation_as_update = False

    def id_of(self, number: int) -> str:
        """The number itself."""
        return str(number)

    def reference(self, field: str, number: int, name: str) -> Json:
        """`{name, id}`; status and priority have a colour, templates say what they are for."""
        shown: Json = {"name": name, "id": str(number)}
        if field in {"status", "priority"}:
            return {"color": _COLORS.get(name, _DEFAULT_COLOR)} | shown
        if field == "template":
            return {"is_service_template": False, "service_category": None} | shown
        return shown

    def person(self, number: int, name: str, email: str | None = None) -> Json:
        """A user; technicians look the same."""
        return {
            "email_id": email,
            "phone": "1234455",
            "name": name,
            "mobile": "1234567890",
            "is_vipuser": False,
            "id": str(number),
            "department": None,
        }

    technician = person

    def catalogue(self) -> dict[str, Sequence[tuple[int, str]]]:
        """What a fresh installation has, with the ids of the recordings."""
        return {
            "status": ((1, "Onhold"), (2, "Open"), (3, "Closed"), (4, "Resolved"), (5, "In Progress")),
            "priority": ((1, "Low"), (2, "Normal"), (3, "Medium"), (4, "High"), (5, "Urgent")),
            "urgency": ((1, "Urgent"), (2, "High"), (3, "Normal"), (4, "Low")),
            "impact": ((1, "High"), (2, "Medium"), (3, "Low")),
            "level": ((1, "Tier 1"), (2, "Tier 2"), (3, "Tier 3"), (4, "Tier 4")),
            "mode": ((1, "E-Mail"), (2, "Web Form"), (3, "Phone Call")),
            "request_type": ((1, "Incident"), (2, "Request For Information")),
            "category": ((1, "Hardware"), (2, "Network"), (3, "Software"), (4, "General")),
            "subcategory": ((4, "Printer"), (5, "MS Office"), (6, "VPN")),
            "item": ((1, "Install"), (2, "Update")),
            "service_category": ((8, "User Management"),),
            "group": ((1, "Hardware Problems"), (2, "Network"), (3, "Printer Problems")),
            "site": ((301, "Test Site"),),
            "template": ((1, "Default Request"),),
            "technician": ((4, "administrator"),),
            "topic": ((1, "General"),),
        }

    def request(self, ticket: Ticket) -> Json:
        """All keys; those of a deletion or of the end of a ticket are there only once they have a value."""
        content = ticket.resolution.content if ticket.resolution else None
        shown = self.request_defaults | ticket.values
        shown |= {
            "id": ticket.ticket_id,
            "resolution": {"resolution_attachments": [], "content": content},
            "created_time": shown_time(ticket.created),
            "last_updated_time": shown_time(ticket.updated),
            "assigned_time": shown_time(ticket.assigned),
            "is_trashed": ticket.trashed,
            "is_reopened": ticket.reopened,
            "has_notes": bool(ticket.notes),
            "has_linked_requests": bool(ticket.links),
        }
        if ticket.deleted is not None:
            shown |= {"deleted_by": ticket.deleted_by, "deleted_on": shown_time(ticket.deleted)}
        ends = {"resolved_time": ticket.resolved, "completed_time": ticket.completed}
        return shown | {name: shown_time(at) for name, at in ends.items() if at is not None}

    def row_extras(self, ticket: Ticket) -> Json:
        """The description's first words, and times that the simulator does not keep."""
        return {
            "short_description": excerpt(ticket.description),
            "time_elapsed": None,
            "response_time_elapsed": None,
        }
