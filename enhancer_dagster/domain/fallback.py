"""The section's content where no model writes it: what was found, as it was found (the owner's format)."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from enhancer_dagster.domain.context import IpInfo, KbArticle, NodeError, SimilarTicket, WorkflowState
from enhancer_dagster.domain.markdown import escape
from enhancer_dagster.domain.text import shorten, without_hidden

SUBJECT_CHARACTERS = 120
RESOLUTION_CHARACTERS = 240
MESSAGE_CHARACTERS = 200

NOTHING_FOUND = "No similar tickets, articles or known systems were found."

Entry = TypeVar("Entry")


def format_without_ai(state: WorkflowState) -> str:
    """`state` as markdown below the heading "Enhancement Context (Generated Without AI)".

    Groups without an entry are left out. Texts from tickets and articles are shortened, and shown as they
    are: no character in them is read as markdown.
    """
    groups = (
        _group("Similar Tickets", state.similar_tickets, _ticket),
        _group("Knowledge Base Articles", state.kb_articles, _article),
        _group("IP Cross-Reference", state.ip_info, _address),
        _group("Errors", state.errors, _error),
    )
    found = state.similar_tickets or state.kb_articles or state.ip_info
    parts = [] if found else [NOTHING_FOUND]
    return "\n\n".join([*parts, *(group for group in groups if group)])


def _group(title: str, entries: Iterable[Entry], line: Callable[[Entry], str]) -> str:
    lines = [f"- {line(entry)}" for entry in entries]
    return "\n".join([f"### {title} ({len(lines)})", *lines]) if lines else ""


def _ticket(ticket: SimilarTicket) -> str:
    said = [_shown(ticket.subject, SUBJECT_CHARACTERS), _shown(ticket.resolution, RESOLUTION_CHARACTERS)]
    return _labelled(ticket.ticket_id, ", ".join(part for part in said if part))


def _article(article: KbArticle) -> str:
    return _labelled(article.article_id, _shown(article.title, SUBJECT_CHARACTERS))


def _address(info: IpInfo) -> str:
    return " ".join(_address_parts(info))


def _address_parts(info: IpInfo) -> Iterator[str]:
    address = _shown(info.ip or "", SUBJECT_CHARACTERS)
    host = _shown(info.hostname or "", SUBJECT_CHARACTERS)
    yield host or address or "unknown"
    if host and address:
        yield f"({address})"
    if info.role:
        yield f"[{_shown(info.role, SUBJECT_CHARACTERS)} role]"


def _error(error: NodeError) -> str:
    return f"{_shown(error.node_name, SUBJECT_CHARACTERS)}: {_shown(error.message, MESSAGE_CHARACTERS)}"


def _labelled(label: str, said: str) -> str:
    bold = f"**{_shown(label, SUBJECT_CHARACTERS)}**"
    return f"{bold}: {said}" if said else bold


def _shown(text: str, limit: int) -> str:
    return escape(shorten(without_hidden(text), limit))
