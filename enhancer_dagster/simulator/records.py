"""What the simulated service desk keeps: tickets and their notes, resolutions and links."""

from dataclasses import dataclass, field
from typing import Any

from enhancer_dagster.simulator.answers import Json

CLOSED = "Closed"
DONE_STATUSES = frozenset({CLOSED, "Resolved"})


@dataclass(slots=True)
class Note:
    """A note on a ticket; times are epoch milliseconds."""

    note_id: str
    description: str
    show_to_requester: bool
    added_by: Json
    added: int
    updated_by: Json
    updated: int


@dataclass(slots=True)
class Resolution:
    """How a ticket was solved, as HTML."""

    content: str
    submitted_by: Json
    submitted: int


@dataclass(slots=True)
class Ticket:
    """A request.

    Attributes:
        values: The fields that can be set, by their API names: texts, references and lists as they are shown.
        created: Epoch milliseconds, as all times here.
        updated: On premises None until the first change.
        links: Linked tickets by id, with the comment of the link.
    """

    ticket_id: str
    display_id: str
    values: dict[str, Any]
    created: int
    updated: int | None = None
    assigned: int | None = None
    resolved: int | None = None
    completed: int | None = None
    deleted: int | None = None
    deleted_by: Json | None = None
    trashed: bool = False
    reopened: bool = False
    resolution: Resolution | None = None
    notes: dict[str, Note] = field(default_factory=dict)
    links: dict[str, str | None] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The subject, plain text."""
        return self.values.get("subject") or ""

    @property
    def description(self) -> str:
        """The description, HTML."""
        return self.values.get("description") or ""

    @property
    def status(self) -> str:
        """The status by name."""
        return self.name_of("status")

    def name_of(self, reference: str) -> str:
        """The name a reference field holds ("priority"), or ""."""
        return (self.values.get(reference) or {}).get("name", "")


@dataclass(frozen=True, slots=True)
class Asset:
    """A machine in the inventory.

    Attributes:
        hostnames: Its names, the asset's own name first or not at all.
        role: What it is there for; shown as the description.
        last_seen: Epoch milliseconds of the last scan.
    """

    asset_id: str
    name: str
    hostnames: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    role: str = ""
    state: str = "In Use"
    site: str = ""
    product_type: str = "Server"
    last_seen: int | None = None
