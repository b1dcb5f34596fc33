"""What the demo shows on the terminal: a live table, then tickets before and after."""

from collections.abc import Sequence

from rich.console import Group
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table

from enhancer_dagster.cli.common import console
from enhancer_dagster.domain.text import html_to_text, shorten
from enhancer_dagster.runtime.demo_report import DemoReport, DemoTicket

SHOWN_IN_FULL = 20
"""Tickets shown before and after; with more, the table and the UI have the rest."""
ROWS = 24
COLOURS = {"queued": "white", "pending": "yellow", "completed": "green", "failed": "red"}


class DemoView:
    """The demo's output.

    Args:
        quiet: Show nothing, for scripts.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Live | None = None

    def say(self, what: str) -> None:
        """A line about what is going on."""
        if not self._quiet:
            console.print(f"[dim]{what}[/dim]", soft_wrap=True)

    def progress(self, tickets: Sequence[DemoTicket]) -> None:
        """The tickets as they stand, in place of the last time."""
        if self._quiet:
            return
        if self._live is None:
            self._live = Live(console=console, auto_refresh=False)
            self._live.start()
        self._live.update(_table(tickets), refresh=True)

    def show(self, report: DemoReport, ui_url: str) -> None:
        """The end: some tickets before and after, the figures, and where to go on."""
        if self._live is not None:
            self._live.stop()
        for ticket in [t for t in report.all_tickets if t.state == "completed"][:SHOWN_IN_FULL]:
            console.print(_before_and_after(ticket))
        for ticket in report.all_tickets:
            if ticket.state == "failed":
                console.print(f"[red]ticket {ticket.ticket_id} failed:[/red] {ticket.error}", soft_wrap=True)
        latency = report.latency()
        console.print(
            f"{report.completed} of {report.tickets} tickets enhanced, {report.failed} failed; "
            f"webhook to update: p50 {latency['p50']} s, p95 {latency['p95']} s, max {latency['max']} s",
            soft_wrap=True,
        )
        console.print(f"Dagster UI: {ui_url} (runs, lineage). Ctrl-C ends the demo.", soft_wrap=True)


def _table(tickets: Sequence[DemoTicket]) -> Table:
    done = sum(ticket.done for ticket in tickets)
    table = Table("ticket", "subject", "state", "seconds", title=f"{done} of {len(tickets)} tickets done")
    unfinished_first = sorted(tickets, key=lambda ticket: ticket.done)
    shown = tickets if len(tickets) <= ROWS else unfinished_first[:ROWS]
    for ticket in shown:
        seconds = "" if ticket.latency is None else f"{ticket.latency:.2f}"
        state = f"[{COLOURS.get(ticket.state, 'white')}]{ticket.state}[/]"
        table.add_row(ticket.ticket_id, shorten(ticket.subject, 60), state, seconds)
    return table


def _before_and_after(ticket: DemoTicket) -> Panel:
    before = Panel(html_to_text(ticket.before), title="before", title_align="left")
    after = Panel(Markdown(ticket.section), title="added to the ticket", title_align="left")
    return Panel(Group(before, after), title=f"ticket {ticket.ticket_id}: {shorten(ticket.subject, 70)}")
