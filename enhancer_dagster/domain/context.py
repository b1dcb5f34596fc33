"""What is known about a ticket before anything is written: the workflow's state (the owner's format)."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from enhancer_dagster.domain.tickets import FreeText

TICKET_DETAILS = "ticket_details"
SIMILAR_TICKETS = "similar_tickets"
KB_SEARCH = "kb_search"
IP_LOOKUP = "ip_lookup"
NODES = (TICKET_DETAILS, SIMILAR_TICKETS, KB_SEARCH, IP_LOOKUP)
"""The four context nodes, in the order they are shown; history counts how many of them succeeded."""

TOTAL_TIMEOUT_NODE = "context_gathering"
"""The name under which a timeout of the whole is reported; it is not a node and is not counted."""

Entry = TypeVar("Entry", bound=BaseModel)

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.:-]+")


def _source_id(kind: str, name: str) -> str:
    """`kind` and `name` as one word without brackets or spaces; a name that has the prefix keeps one."""
    word = _NOT_IN_IDS.sub("-", name)[:80].strip("-.")
    return word if word.startswith(f"{kind}-") else f"{kind}-{word}"


def _changed(entry: Entry, change: Callable[[str], str], *fields: str) -> Entry:
    texts = {name: getattr(entry, name) for name in fields}
    return entry.model_copy(update={name: change(text) for name, text in texts.items() if text})


class SimilarTicket(BaseModel):
    """A resolved ticket that resembles this one."""

    model_config = ConfigDict(frozen=True)

    ticket_id: str
    similarity_score: float = Field(description="0 to 1, higher is more alike.")
    subject: FreeText = ""
    resolution: FreeText = Field(default="", description="How it was solved, as plain text.")
    status: str = ""
    resolved_at: datetime | None = None

    @property
    def source_id(self) -> str:
        """How a citation names it."""
        return _source_id("TKT", self.ticket_id)


class KbArticle(BaseModel):
    """A knowledge-base article that bears on this ticket."""

    model_config = ConfigDict(frozen=True)

    article_id: str
    relevance_score: float = Field(description="0 to 1, higher is more relevant.")
    title: FreeText = ""
    content: FreeText = Field(default="", description="Its text, plain; may be an excerpt.")

    @property
    def source_id(self) -> str:
        """How a citation names it."""
        return _source_id("KB", self.article_id)


class IpInfo(BaseModel):
    """What the inventory knows of an address or host name in the ticket's text."""

    model_config = ConfigDict(frozen=True)

    ip: str | None
    hostname: FreeText | None = None
    role: FreeText | None = None
    last_seen: datetime | None = None

    @property
    def source_id(self) -> str:
        """How a citation names it."""
        return _source_id("IP", self.ip) if self.ip else _source_id("HOST", self.hostname or "unknown")


class NodeError(BaseModel):
    """A context node that failed, was cut off or had nothing to search in."""

    model_config = ConfigDict(frozen=True)

    node_name: str
    message: str


class WorkflowState(BaseModel):
    """The context of one ticket."""

    model_config = ConfigDict(frozen=True)

    similar_tickets: tuple[SimilarTicket, ...] = ()
    kb_articles: tuple[KbArticle, ...] = ()
    ip_info: tuple[IpInfo, ...] = ()
    errors: tuple[NodeError, ...] = ()

    def with_texts(self, change: Callable[[str], str]) -> "WorkflowState":
        """This state with `change` made to every text that somebody wrote; ids and addresses stay."""
        return WorkflowState(
            similar_tickets=tuple(_changed(t, change, "subject", "resolution") for t in self.similar_tickets),
            kb_articles=tuple(_changed(a, change, "title", "content") for a in self.kb_articles),
            ip_info=tuple(_changed(i, change, "hostname", "role") for i in self.ip_info),
            errors=tuple(_changed(e, change, "message") for e in self.errors),
        )

    @property
    def source_ids(self) -> frozenset[str]:
        """All ids that a recommendation may cite."""
        return frozenset(self.source_texts)

    @property
    def source_texts(self) -> Mapping[str, str]:
        """What each of them says, as plain text."""
        tickets = {t.source_id: f"{t.subject}\n{t.resolution}" for t in self.similar_tickets}
        articles = {a.source_id: f"{a.title}\n{a.content}" for a in self.kb_articles}
        machines = {i.source_id: f"{i.ip}\n{i.hostname}\n{i.role}" for i in self.ip_info}
        return tickets | articles | machines

    @property
    def nodes_failed(self) -> int:
        """How many of the four nodes are among the errors."""
        return len({error.node_name for error in self.errors} & set(NODES))

    @property
    def nodes_success(self) -> int:
        """How many of the four nodes are not."""
        return len(NODES) - self.nodes_failed
