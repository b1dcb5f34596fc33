"""What the demo saw of each ticket, and the figures that follow."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass
class DemoTicket:
    """One ticket on its way. Times are seconds since the epoch.

    Attributes:
        accepted_at: When the bridge answered 202.
        updated_at: When the service desk took the section.
        before: The description as it came.
        after: As it is with the section.
        state: "queued", then history's word: "pending", "completed", "failed".
    """

    ticket_id: str
    subject: str
    before: str
    accepted_at: float
    correlation_id: str
    updated_at: float | None = None
    after: str = ""
    state: str = "queued"
    section: str = ""
    without_ai: bool = False
    error: str | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in {"completed", "failed"}

    @property
    def latency(self) -> float | None:
        """Seconds from the webhook's answer to the section on the ticket."""
        return None if self.updated_at is None else self.updated_at - self.accepted_at

    def see(self, row: Mapping[str, Any] | None, write: Mapping[str, Any] | None) -> None:
        """Take in what history and the service desk's log say of it now."""
        if row:
            self.state = row["status"]
            self.without_ai = bool(row["generated_without_ai"])
            self.error = row["error_message"]
            self.section = row["enhancement"] or ""
        if write and self.updated_at is None:
            self.updated_at = datetime.fromisoformat(write["time"]).timestamp()
            self.after = write["text"] or ""


@dataclass(frozen=True)
class DemoReport:
    """The end of a demo."""

    all_tickets: Sequence[DemoTicket]
    versions: Mapping[str, str]

    @property
    def tickets(self) -> int:
        """How many were sent."""
        return len(self.all_tickets)

    @property
    def completed(self) -> int:
        """How many carry their section."""
        return sum(ticket.state == "completed" for ticket in self.all_tickets)

    @property
    def failed(self) -> int:
        """How many failed for good."""
        return sum(ticket.state == "failed" for ticket in self.all_tickets)

    def latency(self) -> dict[str, float | None]:
        """Median, 95th percentile (linear interpolation) and maximum, in seconds."""
        seconds = [ticket.latency for ticket in self.all_tickets if ticket.latency is not None]
        if not seconds:
            return {"p50": None, "p95": None, "max": None}
        p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
        figures = {"p50": statistics.median(seconds), "p95": p95, "max": max(seconds)}
        return {name: round(value, 3) for name, value in figures.items()}

    def as_json(self) -> dict[str, Any]:
        """The object that `enhancer demo --json` prints."""
        return {
            "tickets": self.tickets,
            "completed": self.completed,
            "failed": self.failed,
            "generated_without_ai": sum(t.without_ai for t in self.all_tickets if t.state == "completed"),
            "latency_s": self.latency(),
            "versions": dict(self.versions),
        }
