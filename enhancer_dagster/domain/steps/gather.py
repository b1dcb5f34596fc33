"""Step one: the ticket as it is now, whether it is due, and what is known that bears on it."""

from dataclasses import dataclass

from loguru import logger

from enhancer_dagster.domain.context import (
    IP_LOOKUP,
    KB_SEARCH,
    SIMILAR_TICKETS,
    TICKET_DETAILS,
    NodeError,
    WorkflowState,
)
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import TransientError
from enhancer_dagster.domain.gathering import Gathered, Node, gather_nodes
from enhancer_dagster.domain.outcomes import HistoryStatus
from enhancer_dagster.domain.ports import ContextSearch, EarlierWork, History, JobQueue, ServiceDesk
from enhancer_dagster.domain.redaction import CredentialMask, PersonalDataMask
from enhancer_dagster.domain.section import strip_sections
from enhancer_dagster.domain.steps.due import hash_of_own_text, last_enhancement, why_not_due
from enhancer_dagster.domain.steps.record import save_if_possible
from enhancer_dagster.domain.steps.values import GatheredContext, TicketRun
from enhancer_dagster.domain.tenants import PersonalData, Tenant
from enhancer_dagster.domain.text import html_to_text
from enhancer_dagster.domain.tickets import Claim, Ticket


@dataclass(frozen=True)
class ContextLimits:
    """How long context gathering may take, in seconds, and how much it brings."""

    node_seconds: float
    total_seconds: float
    similar_tickets: int
    kb_articles: int


@dataclass(frozen=True)
class ContextPorts:
    """What context is gathered from."""

    desk: ServiceDesk
    search: ContextSearch
    history: History
    queue: JobQueue
    earlier: EarlierWork


@dataclass(frozen=True)
class NotDue:
    """The job ends here, before any cost."""

    reason: str


def gather_context(
    claim: Claim,
    run: TicketRun,
    tenant: Tenant,
    ports: ContextPorts,
    limits: ContextLimits,
    deadline: Deadline,
) -> GatheredContext | NotDue:
    """Read the ticket and, where it is due, search with its text.

    Where an earlier attempt has done so with the same text, or the text cannot be had, nothing is searched:
    this attempt goes on with what that one found.

    Args:
        claim: The job. Its own text serves where the ticket cannot be read for the moment.
        run: The attempt that asks.
        tenant: Whose ticket it is.
        ports: What is asked.
        limits: Times and amounts.
        deadline: The run's soft limit.

    Raises:
        ServiceDeskRefusedError: There is no such ticket, or the credentials are not accepted.
        DatabaseUnavailableError: Whether the ticket is due hangs on history, which is down.
    """
    total = deadline.within(limits.total_seconds)
    reading = _read(claim, tenant, ports, total.within(limits.node_seconds))
    if reason := _why_not_due(claim, reading, tenant, ports.history):
        return NotDue(reason)
    # With the hash: should this job fail with its section on the ticket, our own edit is known by it.
    begun = run.record(HistoryStatus.PENDING).model_copy(update={"content_hash": reading.content_hash})
    save_if_possible(begun, ports.history)
    earlier = ports.earlier.context(claim.earlier_runs, None if reading.errors else reading.content_hash)
    if earlier:
        logger.info("run {} has read the same text: its context is used", earlier.taken_from)
        return earlier.model_copy(update={"run": run})
    found = _search(reading, run, tenant, ports.search, limits, total)
    if tenant.personal_data is PersonalData.MASK:
        return found.with_texts(PersonalDataMask().masked)
    return found


@dataclass(frozen=True)
class _Reading:
    """A ticket, why it is only what its webhook said of it, and the hash of its own text."""

    ticket: Ticket
    errors: tuple[NodeError, ...]
    content_hash: str


def _read(claim: Claim, tenant: Tenant, ports: ContextPorts, deadline: Deadline) -> _Reading:
    ticket, errors = _ticket_or_webhook(claim, ports.desk, deadline)
    own_text = hash_of_own_text(ticket, tenant.tenant_id, ports.history, ports.queue)
    return _Reading(ticket, errors, own_text)


def _ticket_or_webhook(
    claim: Claim, desk: ServiceDesk, deadline: Deadline
) -> tuple[Ticket, tuple[NodeError, ...]]:
    try:
        return desk.ticket(claim.job.ticket_id, deadline), ()
    except TransientError as error:
        logger.warning("the ticket cannot be read, its webhook's text is used: {}", error)
        told = Ticket(
            ticket_id=claim.job.ticket_id,
            subject=claim.subject,
            description=claim.job.description,
            priority=claim.job.priority,
        )
        return told, (NodeError(node_name=TICKET_DETAILS, message=str(error)),)


def _why_not_due(claim: Claim, reading: _Reading, tenant: Tenant, history: History) -> str | None:
    if reading.errors:
        return None
    return why_not_due(
        reading.ticket,
        tenant,
        reading.content_hash,
        lambda: last_enhancement(reading.ticket, tenant, history),
        correlation_id=claim.correlation_id,
        asked_again=claim.asked_again,
    )


def _search(
    reading: _Reading,
    run: TicketRun,
    tenant: Tenant,
    search: ContextSearch,
    limits: ContextLimits,
    total: Deadline,
) -> GatheredContext:
    # Look-alikes stay on the ticket, since they are user text, but nothing that looks like our own
    # writing is searched with or put into a prompt, and no credential.
    credentials = CredentialMask()
    subject = credentials.masked(reading.ticket.subject)
    text = credentials.masked(html_to_text(strip_sections(reading.ticket.description or "")))
    found = gather_nodes(_nodes(run, subject, text, search, limits), limits.node_seconds, total)
    state = _state(found, reading.errors).with_texts(credentials.masked)
    for error in state.errors[len(reading.errors) :]:
        logger.warning("context: {}: {}", error.node_name, error.message)
    return GatheredContext(
        run=run,
        subject=subject,
        text=text,
        priority=reading.ticket.priority,
        state=state,
        content_hash=reading.content_hash,
        ticket_url=tenant.ticket_url(run.ticket_id),
    )


def _nodes(
    run: TicketRun, subject: str, text: str, search: ContextSearch, limits: ContextLimits
) -> dict[str, Node]:
    return {
        SIMILAR_TICKETS: lambda _: search.similar_tickets(
            run.tenant_id, subject, text, exclude_ticket_id=run.ticket_id, limit=limits.similar_tickets
        ),
        KB_SEARCH: lambda _: search.kb_articles(run.tenant_id, subject, text, limit=limits.kb_articles),
        IP_LOOKUP: lambda _: search.inventory(run.tenant_id, f"{subject}\n{text}"),
    }


def _state(gathered: Gathered, earlier_errors: tuple[NodeError, ...]) -> WorkflowState:
    return WorkflowState(
        similar_tickets=tuple(gathered.found.get(SIMILAR_TICKETS, ())),
        kb_articles=tuple(gathered.found.get(KB_SEARCH, ())),
        ip_info=tuple(gathered.found.get(IP_LOOKUP, ())),
        errors=earlier_errors + gathered.errors,
    )
