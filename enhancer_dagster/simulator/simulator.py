"""A simulator's whole state, and what a requester, a technician or a test does to it from outside the API."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from enhancer_dagster.simulator.answers import Json
from enhancer_dagster.simulator.api.solutions import put_solution
from enhancer_dagster.simulator.desk import SimulatedDesk
from enhancer_dagster.simulator.faults import FaultBoard
from enhancer_dagster.simulator.input_data import html_of, line_of
from enhancer_dagster.simulator.journal import Journal
from enhancer_dagster.simulator.limits import AccessTokens, Clock, RateWindow
from enhancer_dagster.simulator.options import SimulatorOptions
from enhancer_dagster.simulator.records import Asset, Resolution, Ticket
from enhancer_dagster.simulator.seed import NewTicket, ResolvedTicket, Seed
from enhancer_dagster.simulator.webhooks import WebhookSender, WebhookTarget

PARTS = ("desk", "faults", "log", "tokens", "limits")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A held-back ticket that has been created, with what a person would expect to be found for it."""

    ticket: Ticket
    source_id: str
    expected_ticket: str | None
    expected_article: str | None

    def as_json(self) -> Json:
        """The arrival as the admin API shows it."""
        return {
            "ticket_id": self.ticket.ticket_id,
            "source_id": self.source_id,
            "subject": self.ticket.subject,
            "description": self.ticket.description,
            "priority": self.ticket.name_of("priority"),
            "created_ms": self.ticket.created,
            "expected_ticket": self.expected_ticket,
            "expected_article": self.expected_article,
        }


class Simulator:
    """The state that the app serves.

    Args:
        options: How it is set up; the admin API may replace them.
        seed: What the service desk starts with, also after a reset.
        webhook: Where webhooks go.
        clock: Monotonic seconds for limits and tokens; injected by tests.
    """

    def __init__(
        self,
        options: SimulatorOptions | None = None,
        *,
        seed: Seed | None = None,
        webhook: WebhookTarget | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.options = options or SimulatorOptions()
        self.faults = FaultBoard(self.options.random_seed)
        self.journal = Journal()
        self.tokens = AccessTokens(clock)
        self.refreshes = RateWindow(clock)
        self.calls = RateWindow(clock)
        self.webhooks = WebhookSender(webhook)
        self._seed = seed or Seed()
        self._ids: dict[tuple[str, str], str] = {}
        self.held: deque[NewTicket] = deque()
        self.desk = self._fresh_desk()

    def reset(self, parts: tuple[str, ...] = PARTS) -> None:
        """Put parts back to how they were at the start.

        Args:
            parts: Of "desk", "faults", "log", "tokens" (all become invalid) and "limits".
        """
        if "desk" in parts:
            self.desk = self._fresh_desk()
        if "faults" in parts:
            self.faults.clear()
        if "log" in parts:
            self.journal.clear()
            self.webhooks.deliveries.clear()
        if "tokens" in parts:
            self.tokens.clear()
        if "limits" in parts:
            self.refreshes.clear()
            self.calls.clear()

    def add_ticket(
        self,
        subject: str,
        description: str = "",
        *,
        priority: str = "Medium",
        group: str = "",
        site: str = "",
        status: str = "Open",
        ticket_id: str | None = None,
        created: int | None = None,
        announce: bool = True,
    ) -> Ticket:
        """Create a ticket as a requester does; names that are new are added to the service desk.

        Args:
            subject: Plain text.
            description: HTML or plain text.
            priority: By name, as the next three; "" leaves it out.
            group: By name.
            site: By name.
            status: By name.
            ticket_id: Its id; None: the next one.
            created: Epoch milliseconds; None: now.
            announce: Whether the webhook is sent.
        """
        names = {"priority": priority, "group": group, "site": site, "status": status}
        references = {field: name for field, name in names.items() if name}
        values = self._values({"subject": subject, "description": description, **references})
        return self.desk.create(values, ticket_id=ticket_id, created=created, announce=announce)

    def edit_ticket(self, ticket_id: str, **fields: str) -> Ticket:
        """Change a ticket as a technician does in the web client, who may do so to a closed one too.

        Args:
            ticket_id: Which.
            **fields: `subject`, `description`, `resolution` and names of `status`, `priority`, `group`, …

        Raises:
            Refusal: There is no such ticket.
        """
        ticket = self.desk.ticket(ticket_id)
        resolution = fields.pop("resolution", None)
        if resolution is not None:
            self.desk.resolve(ticket, html_of(resolution, "resolution") or "")
        self.desk.change(ticket, self._values(fields))
        return ticket

    def link(self, ticket_id: str, other_id: str) -> None:
        """Link two tickets as a technician does in the web client; either then lists the other.

        Raises:
            Refusal: One of them is not there.
        """
        one, other = self.desk.ticket(ticket_id), self.desk.ticket(other_id)
        one.links[other_id] = other.links[ticket_id] = None

    def add_asset(self, asset: Asset) -> None:
        """Put a machine into the inventory."""
        self.desk.assets[asset.asset_id] = asset

    def release(self, count: int, *, announce: bool = True) -> list[Arrival]:
        """Create the next held-back tickets.

        Args:
            count: How many at most.
            announce: Whether webhooks are sent for them.
        """
        arrivals = []
        while self.held and len(arrivals) < count:
            held = self.held.popleft()
            ticket = self.add_ticket(
                held.subject,
                held.description,
                priority=held.priority,
                group=held.group,
                site=held.site,
                ticket_id=self.desk.claim_id("ticket", held.source_id),
                announce=announce,
            )
            arrivals.append(
                Arrival(
                    ticket=ticket,
                    source_id=held.source_id,
                    expected_ticket=self._here("ticket", held.expected_ticket),
                    expected_article=self._here("solution", held.expected_article),
                )
            )
        return arrivals

    def close(self) -> None:
        """Stop sending webhooks."""
        self.webhooks.close()

    def _here(self, kind: str, source_id: str | None) -> str | None:
        return None if source_id is None else self._ids.get((kind, str(source_id)), str(source_id))

    def _values(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for field, value in fields.items():
            if field == "subject":
                values[field] = line_of(value, field)
            elif field == "description":
                values[field] = html_of(value, field)
            else:
                values[field] = self.desk.directory.named(field, value)
        return values

    def _fresh_desk(self) -> SimulatedDesk:
        desk = SimulatedDesk(self.options.edition)
        self._ids.clear()
        for ticket in self._seed.resolved:
            self._ids["ticket", ticket.source_id] = _add_resolved(desk, ticket)
        for article in self._seed.articles:
            solution_id = desk.claim_id("solution", article.source_id)
            self._ids["solution", article.source_id] = solution_id
            put_solution(desk, solution_id, title=article.title, content=article.content, topic=article.topic)
        for asset in self._seed.assets:
            asset_id = desk.claim_id("asset", asset.asset_id)
            desk.assets[asset_id] = replace(asset, asset_id=asset_id)
        self.held = deque(self._seed.new)
        desk.listeners.append(self.webhooks.tell)
        return desk


def _add_resolved(desk: SimulatedDesk, past: ResolvedTicket) -> str:
    named = desk.directory.named
    values = {
        "subject": line_of(past.subject, "subject"),
        "description": html_of(past.description, "description"),
        "priority": named("priority", past.priority),
        "group": named("group", past.group) if past.group else None,
        "site": named("site", past.site) if past.site else None,
        "status": named("status", past.status),
        "technician": named("technician", "administrator"),
    }
    ticket_id = desk.claim_id("ticket", past.source_id)
    ticket = desk.create(values, ticket_id=ticket_id, created=past.created, announce=False)
    content = html_of(past.resolution, "resolution") or ""
    ticket.resolution = Resolution(content, desk.directory.administrator, past.resolved)
    ticket.updated = ticket.resolved = ticket.completed = past.resolved
    return ticket_id
