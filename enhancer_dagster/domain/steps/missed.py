"""Tickets whose webhook never came: ServiceDesk Plus does not repeat one, so it is asked what changed.

Two lists are read, each in the order of its own time: tickets created, and tickets edited, since the moment
up to which that list is settled. Rows move while a list is read, so each page starts anew at the last moment
seen rather than at a row number, as `search.pulls` does. All moments are the service desk's, so its clock
may be wrong; ours decides only what is so young that its webhook may still be on the way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel

from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import EnhancerError, TicketNotFoundError
from enhancer_dagster.domain.outcomes import LastEnhancement
from enhancer_dagster.domain.ports import History, JobQueue, ServiceDesk, TicketIntake, TicketQuery
from enhancer_dagster.domain.steps.due import hash_of_own_text, why_not_due
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.domain.tickets import Ticket

LEFT_TO_WEBHOOKS = timedelta(minutes=2)
"""What is younger may still be announced."""

OVERLAP = timedelta(minutes=3)
"""Read again before the settled moment: a change may become visible later than its own time says."""

EVENT = "found by polling"


class Kind(StrEnum):
    """The two lists."""

    CREATED = "created"
    EDITED = "edited"


class Progress(BaseModel):
    """How far a tenant's lists are settled, kept from one poll to the next.

    Attributes:
        settled: For each list, the moment up to which nothing is left to do.
        handled: Tickets within the overlap, with the change that was dealt with.
        polled_at: When it was last asked, by our clock.
    """

    settled: dict[Kind, AwareDatetime]
    handled: dict[str, AwareDatetime] = {}
    polled_at: AwareDatetime | None = None

    @classmethod
    def since(cls, tenant: Tenant, before: "Progress | None") -> "Progress":
        """Where the next poll goes on; the first one starts at the moment the tenant was added."""
        settled = before.settled if before else {}
        start = {kind: max(settled.get(kind, tenant.created_at), tenant.created_at) for kind in Kind}
        return cls(settled=start, handled=before.handled if before else {})


@dataclass(frozen=True)
class PollPorts:
    """What a poll needs."""

    desk: ServiceDesk
    history: History
    queue: JobQueue
    intake: TicketIntake


@dataclass
class PollReport:
    """What a poll did.

    Attributes:
        progress: For the next one.
        enqueued: Tickets that nobody had told us of.
        known: How many others there are a job covers.
        not_due: How many others were looked at and need nothing.
        error: Why it broke off; it goes on there next time.
    """

    progress: Progress
    enqueued: list[str] = field(default_factory=list)
    known: int = 0
    not_due: int = 0
    error: str | None = None


def poll(
    tenant: Tenant, ports: PollPorts, before: Progress | None, now: datetime, deadline: Deadline
) -> PollReport:
    """Ask the service desk what changed and enqueue what the bridge never saw.

    Args:
        tenant: Whose.
        ports: What is asked.
        before: What the last poll reported.
        now: The time of day.
        deadline: For all of it.

    Returns:
        The report; a failure of any part is in it and loses nothing.
    """
    report = PollReport(Progress.since(tenant, before).model_copy(update={"polled_at": now}))
    one = _Poll(tenant, ports, report, deadline)
    try:
        for kind in Kind:
            one.read(kind, now - LEFT_TO_WEBHOOKS)
    except EnhancerError as error:
        report.error = str(error)
    one.forget()
    return report


class _Poll:
    def __init__(self, tenant: Tenant, ports: PollPorts, report: PollReport, deadline: Deadline) -> None:
        self._tenant = tenant
        self._ports = ports
        self._report = report
        self._deadline = deadline
        self._settled = dict(report.progress.settled)
        self._handled = dict(report.progress.handled)

    def read(self, kind: Kind, until: datetime) -> None:
        """Settle one list up to `until`, ticket by ticket."""
        since = max(self._settled[kind] - OVERLAP, self._tenant.created_at)
        for ticket in self._oldest_first(kind, since):
            moment = _moment(kind, ticket) or since
            if moment > until:
                return
            self._deadline.check(f"polling tenant {self._tenant.tenant_id}")
            self._handle(ticket, _changed_at(ticket) or moment)
            self._settled[kind] = max(self._settled[kind], moment)

    def forget(self) -> None:
        """Write down how far it went, without what no later poll will list."""
        oldest = min(self._settled.values()) - OVERLAP
        kept = {ticket_id: moment for ticket_id, moment in self._handled.items() if moment >= oldest}
        self._report.progress = self._report.progress.model_copy(
            update={"settled": self._settled, "handled": kept}
        )

    def _oldest_first(self, kind: Kind, since: datetime) -> Iterator[Ticket]:
        start = 1
        while True:
            page = self._ports.desk.tickets(_QUERIES[kind](since, start), self._deadline)
            yield from page.rows
            if page.next_index is None:
                return
            last = _moment(kind, page.rows[-1])
            # A page whose rows are all of one moment gives no later one to start at.
            since, start = (last, 1) if last and last > since else (since, page.next_index)

    def _handle(self, ticket: Ticket, changed_at: datetime) -> None:
        seen = self._handled.get(ticket.ticket_id)
        if seen and seen >= changed_at:
            return
        if self._is_left_out(ticket):
            self._report.not_due += 1
        else:
            self._enqueue_if_due(ticket, changed_at)
        self._handled[ticket.ticket_id] = changed_at

    def _enqueue_if_due(self, ticket: Ticket, changed_at: datetime) -> None:
        last = self._ports.history.last_enhancement(self._tenant.tenant_id, ticket.ticket_id)
        if last and self._is_settled(ticket, last):
            self._report.not_due += 1
        else:
            self._enqueue(ticket, _no_earlier(changed_at, last))

    def _is_left_out(self, listed: Ticket) -> bool:
        return not listed.is_open or not self._tenant.enhance.admits(listed)

    def _is_settled(self, listed: Ticket, last: LastEnhancement) -> bool:
        """Whether the text is what was last enhanced: the change was our own, or of another field."""
        ports, tenant = self._ports, self._tenant
        try:
            ticket = ports.desk.ticket(listed.ticket_id, self._deadline)
        except TicketNotFoundError:
            return True
        said = hash_of_own_text(ticket, tenant.tenant_id, ports.history, ports.queue)
        return why_not_due(ticket, tenant, said, lambda: last) is not None

    def _enqueue(self, ticket: Ticket, changed_at: datetime) -> None:
        taken = self._ports.intake.enqueue(
            self._tenant.tenant_id,
            ticket.ticket_id,
            subject=ticket.subject,
            priority=ticket.priority,
            event=EVENT,
            created_at=ticket.created_at,
            changed_at=changed_at,
        )
        if taken.status == "queued":
            self._report.enqueued.append(ticket.ticket_id)
        else:
            self._report.known += 1


_QUERIES: dict[Kind, Callable[[datetime, int], TicketQuery]] = {
    Kind.CREATED: lambda since, start: TicketQuery(created_since=since, start_index=start),
    Kind.EDITED: lambda since, start: TicketQuery(edited_since=since, start_index=start),
}


def _moment(kind: Kind, ticket: Ticket) -> datetime | None:
    return ticket.created_at if kind is Kind.CREATED else ticket.updated_at


def _changed_at(ticket: Ticket) -> datetime | None:
    return ticket.updated_at or ticket.created_at


def _no_earlier(changed_at: datetime, last: LastEnhancement | None) -> datetime:
    """A text that differs from the last one enhanced changed after that, whatever the other clock says."""
    if last is None or last.completed_at is None:
        return changed_at
    return max(changed_at, last.completed_at + timedelta(microseconds=1))
