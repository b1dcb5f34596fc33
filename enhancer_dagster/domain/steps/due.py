"""Is a ticket due? When it is new, when its own text is not what was last enhanced, or when a person asks."""

from collections.abc import Callable
from uuid import UUID

from enhancer_dagster.domain.errors import DatabaseUnavailableError
from enhancer_dagster.domain.outcomes import LastEnhancement
from enhancer_dagster.domain.ports import History, JobQueue
from enhancer_dagster.domain.section import find_sections, strip_sections
from enhancer_dagster.domain.steps.ownership import ownership_test
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.domain.text import content_hash, html_to_text
from enhancer_dagster.domain.tickets import Ticket


def hash_of_own_text(ticket: Ticket, tenant_id: str, history: History, queue: JobQueue) -> str:
    """The hash of what people wrote: subject and description without our sections.

    Raises:
        BridgeUnavailableError: Whether a section is ours cannot be found out.
    """
    html = ticket.description or ""
    text = html_to_text(strip_sections(html, _is_ours(ticket, tenant_id, history, queue)))
    return content_hash(ticket.subject, text)


def why_not_due(
    ticket: Ticket,
    tenant: Tenant,
    said: str,
    last: Callable[[], LastEnhancement | None],
    *,
    correlation_id: UUID | None = None,
    asked_again: bool = False,
) -> str | None:
    """Why nothing is to be done about `ticket`, None where it is due.

    Args:
        ticket: As it is now.
        tenant: Whose it is.
        said: What `hash_of_own_text` gave.
        last: Looks up what was enhanced before, where it hangs on that.
        correlation_id: Of the job that asks. Where it is the last enhancement itself, an earlier attempt
            vanished before it could end the job, which is then due until it has.
        asked_again: A person asked for it.

    Raises:
        Whatever `last` raises.
    """
    if ticket.is_trashed:
        return "the ticket is in the trash"
    if not ticket.is_open:
        return f"the ticket is no longer open ({ticket.status})"
    if not tenant.enhance.admits(ticket):
        return "the tenant's filter leaves this ticket out"
    if asked_again:
        return None
    known = last()
    if known and known.content_hash == said and known.correlation_id != correlation_id:
        return "its text is what was last enhanced"
    return None


def last_enhancement(ticket: Ticket, tenant: Tenant, history: History) -> LastEnhancement | None:
    """What history knows of the last section that reached `ticket`, also of a job that failed after that.

    Raises:
        DatabaseUnavailableError: History is down, and there may be one.
    """
    standing = _ids_on(ticket)
    try:
        return history.last_enhancement(tenant.tenant_id, ticket.ticket_id, standing)
    except DatabaseUnavailableError:
        # Without a section the ticket is new to us. With one, going on could answer our own edit.
        if standing:
            raise
        return None


def _is_ours(ticket: Ticket, tenant_id: str, history: History, queue: JobQueue) -> Callable[[UUID], bool]:
    return ownership_test(history, queue, tenant_id, ticket.ticket_id, _ids_on(ticket))


def _ids_on(ticket: Ticket) -> list[UUID]:
    return [section.correlation_id for section in find_sections(ticket.description or "")]
