"""The cloud edition, as recorded in 2020."""

from collections.abc import Sequence
from typing import ClassVar

from enhancer_dagster.simulator.answers import Json
from enhancer_dagster.simulator.dialects.base import Dialect
from enhancer_dagster.simulator.records import DONE_STATUSES, Note, Ticket
from enhancer_dagster.simulator.values import shown_time

_ORGANISATION = "123640000000"
_COLORS = {
    "Open": "#0066ff",
    "Closed": "#006600",
    "Resolved": "#00ff66",
    "In Progress": "#0066ff",
    "Low": "#666666",
    "Normal": "#006600",
    "Medium": "#ff6600",
    "High": "#ff0000",
    "Urgent": "#990000",
}
_ON_HOLD = "On Hold"

_NULL = (
    *("subject", "resolution", "linked_to_request", "mode", "lifecycle", "id", "assigned_time", "group"),
    *("requester", "created_time", "item", "cancel_flag_comments", "level", "approval_status", "impact"),
    *("sla", "resolved_time", "priority", "created_by", "first_response_due_by_time", "last_updated_time"),
    *("impact_details", "subcategory", "deleted_time", "status", "template", "request_type", "display_id"),
    *("notification_status", "description", "responded_time", "urgency", "department", "technician"),
    *("due_by_time", "site", "completed_time", "category"),
)
_FALSE = (
    *("is_read", "cancellation_requested", "is_trashed", "is_escalated", "has_notes", "is_service_request"),
    *("has_request_initiated_change", "is_reopened", "has_draft", "has_attachments", "has_linked_requests"),
    *("is_overdue", "has_problem", "is_fcr", "has_project", "is_first_response_overdue"),
)
_EMPTY = ("email_to", "email_cc", "email_ids_to_notify", "attachments", "email_bcc")


class CloudDialect(Dialect):
    """`/app/{portal}/api/v3` of Zoho's cloud: ids of 18 digits, `request_note`."""

    note_name = "request_note"
    notes_name = "request_notes"
    extra_key_message = "EXTRA_KEY_FOUND_IN_JSON"
    request_defaults: ClassVar[Json] = {
        **dict.fromkeys(_NULL),
        **dict.fromkeys(_FALSE, False),
        **{name: [] for name in _EMPTY},
        "udf_fields": {},
        "time_elapsed": "0",
        "unreplied_count": 0,
    }
    row_fields = (
        *("requester", "template", "created_time", "has_draft", "cancel_flag_comments", "display_id"),
        *("subject", "technician", "due_by_time", "is_service_request", "cancellation_requested"),
        *("has_notes", "id", "status", "group"),
    )
    echoes_sort = False
    lists_note_text = True
    counts_creation_as_update = True

    def id_of(self, number: int) -> str:
        """18 digits, the organisation's twelve first."""
        return f"{_ORGANISATION}{number:06d}"

    def reference(self, field: str, number: int, name: str) -> Json:
        """`{name, id}`, with what else statuses, priorities and groups have."""
        shown: Json = {"name": name, "id": self.id_of(number)}
        if field == "status":
            behaviour = {
                "in_progress": name not in DONE_STATUSES,
                "internal_name": "Onhold" if name == _ON_HOLD else name,
                "stop_timer": name == _ON_HOLD or name in DONE_STATUSES,
            }
            return behaviour | {"color": _COLORS.get(name)} | shown
        if field == "priority":
            return {"color": _COLORS.get(name)} | shown
        if field == "group":
            return {"site": None, "deleted": False} | shown
        return shown

    def person(self, number: int, name: str, email: str | None = None) -> Json:
        """A user."""
        return {
            "email_id": email,
            "is_technician": False,
            "sms_mail": None,
            "phone": None,
            "name": name,
            "mobile": None,
            "id": self.id_of(number),
            "photo_url": f"https://contacts.example/{number}",
            "is_vip_user": False,
            "department": None,
        }

    def technician(self, number: int, name: str, email: str | None = None) -> Json:
        """A technician, who has a price."""
        return {
            "email_id": email,
            "cost_per_hour": "0",
            "phone": None,
            "name": name,
            "mobile": None,
            "id": self.id_of(number),
            "photo_url": f"https://contacts.example/{number}",
            "sms_mail_id": None,
        }

    def catalogue(self) -> dict[str, Sequence[tuple[int, str]]]:
        """What a fresh portal has, with the ids of the recordings where they show one."""
        return {
            "status": (
                *((6657, "Open"), (6659, _ON_HOLD), (6661, "Closed"), (6663, "Resolved")),
                (6660, "In Progress"),
            ),
            "priority": ((6801, "Low"), (6802, "Normal"), (6803, "Medium"), (6805, "High"), (6807, "Urgent")),
            "urgency": ((7921, "Normal"), (7923, "High"), (7925, "Urgent"), (7927, "Low")),
            "impact": ((8033, "Affects Business"), (8036, "Affects Group"), (8039, "Affects User")),
            "level": ((6671, "Tier 1"), (6673, "Tier 2"), (6675, "Tier 3"), (6677, "Tier 4")),
            "mode": ((6665, "E-Mail"), (6667, "Web Form"), (6669, "Phone Call")),
            "request_type": ((8391, "Incident"), (8393, "Request For Information")),
            "category": ((6701, "Hardware"), (6703, "Network"), (6705, "Software"), (6707, "General")),
            "subcategory": ((6711, "Printer"), (6713, "MS Office"), (6715, "VPN")),
            "item": ((6721, "Install"), (6723, "Update")),
            "service_category": ((6731, "User Management"),),
            "group": ((6681, "Network"), (6683, "Hardware Problems"), (6685, "Printer Problems")),
            "site": ((6741, "Test Site"),),
            "template": ((6655, "Default Request"),),
            "topic": ((6751, "General"),),
            "technician": ((142552, "First Last"), (142554, "administrator")),
        }

    def request(self, ticket: Ticket) -> Json:
        """All keys; `onhold_scheduler` is there only while the ticket is on hold."""
        shown = self.request_defaults | ticket.values
        shown |= {
            "id": ticket.ticket_id,
            "display_id": ticket.display_id,
            "resolution": self.resolution(ticket.resolution) if ticket.resolution else None,
            "created_time": shown_time(ticket.created),
            "last_updated_time": shown_time(ticket.updated),
            "assigned_time": shown_time(ticket.assigned),
            "resolved_time": shown_time(ticket.resolved),
            "completed_time": shown_time(ticket.completed),
            "deleted_time": shown_time(ticket.deleted),
            "is_trashed": ticket.trashed,
            "is_reopened": ticket.reopened,
            "has_notes": bool(ticket.notes),
            "has_linked_requests": bool(ticket.links),
        }
        return shown | ({"onhold_scheduler": None} if ticket.status == _ON_HOLD else {})

    def note(self, ticket: Ticket, note: Note) -> Json:
        """All keys of a note; no cloud note is among the recordings, so the names are those on premises."""
        shown = super().note(ticket, note)
        return shown | {"request": shown["request"] | {"display_id": ticket.display_id}}
