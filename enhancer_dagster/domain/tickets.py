"""A ticket, and the job that a webhook about it becomes."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from enhancer_dagster.domain.text import storable


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _storable(value: object) -> object:
    return storable(value) if isinstance(value, str) else value


TicketId = Annotated[
    str,
    BeforeValidator(_as_text),
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_.:-]{1,64}$"),
]
"""A ticket's id, always a string: cloud ids have 18 digits."""

TenantId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""A tenant's id: part of URLs, file names and Dagster's tags and partition keys."""

FreeText = Annotated[str, BeforeValidator(_storable)]
"""Text from outside, without what PostgreSQL and UTF-8 refuse."""


class Priority(StrEnum):
    """The priorities that move a run forward in the queue; any other name counts as LOW."""

    URGENT = "Urgent"
    HIGH = "High"
    MEDIUM = "Medium"
    LOW = "Low"

    @classmethod
    def named(cls, name: str | None) -> "Priority":
        """The priority a service desk calls `name`; "Normal" is SDP's word for medium."""
        by_name = {member.value.lower(): member for member in cls} | {"normal": cls.MEDIUM}
        return by_name.get((name or "").strip().lower(), cls.LOW)

    @property
    def dagster_priority(self) -> int:
        """What the `dagster/priority` tag says: Urgent 3, High 2, Medium 1, else 0."""
        return {Priority.URGENT: 3, Priority.HIGH: 2, Priority.MEDIUM: 1, Priority.LOW: 0}[self]


class EnhancementJob(BaseModel):
    """One ticket to enhance, as the queue carries it (the owner's format)."""

    model_config = ConfigDict(frozen=True)

    job_id: UUID
    ticket_id: TicketId
    tenant_id: TenantId
    description: FreeText = ""
    priority: str = ""
    timestamp: AwareDatetime = Field(description="When the bridge accepted the webhook, UTC.")
    created_at: AwareDatetime | None = Field(default=None, description="When the ticket was created.")


class Claim(BaseModel):
    """A job that is leased to this pipeline, under the number of the attempt that it may make."""

    model_config = ConfigDict(frozen=True)

    job: EnhancementJob
    attempt: int = Field(ge=1)
    correlation_id: UUID
    subject: FreeText = ""
    event: str = ""
    asked_again: bool = Field(
        default=False, description="A person asked for it: due even if the text is as it was."
    )
    earlier_runs: tuple[str, ...] = Field(
        default=(),
        description="At the fence: runs let in before this one since a person last asked, newest first.",
    )
    lease_expires_at: AwareDatetime


class Ticket(BaseModel):
    """A ticket as the service desk has it now. `description` and `resolution` are HTML."""

    model_config = ConfigDict(frozen=True)

    ticket_id: TicketId
    subject: FreeText = ""
    description: FreeText | None = Field(default=None, description="None: a list answer, which omits it.")
    resolution: FreeText | None = None
    status: str = ""
    is_open: bool = True
    is_trashed: bool = False
    priority: str = ""
    group: str = ""
    site: str = ""
    template: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    has_notes: bool = False
    has_links: bool = Field(default=False, description="Linked to other tickets; False in list answers.")


class Note(BaseModel):
    """A note on a ticket. `description` is HTML, and None in on-premises list answers."""

    model_config = ConfigDict(frozen=True)

    note_id: str
    description: FreeText | None = None
    shown_to_requester: bool = False
    updated_at: datetime | None = None


class Article(BaseModel):
    """A knowledge-base article; SDP calls it a solution. `content` is HTML."""

    model_config = ConfigDict(frozen=True)

    article_id: str
    title: FreeText = ""
    content: FreeText | None = None
    topic: str = ""
    is_public: bool = False
    updated_at: datetime | None = None


class Asset(BaseModel):
    """A machine in the service desk's inventory, with every address that is known of it."""

    model_config = ConfigDict(frozen=True)

    asset_id: str
    name: FreeText = ""
    hostnames: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    role: str = ""
    state: str = ""
    site: str = ""
    last_seen: datetime | None = None
