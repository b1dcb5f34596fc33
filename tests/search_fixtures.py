"""Content for small indexes, shared by the tests of the search."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from enhancer_dagster.domain.tickets import Asset
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.documents import Document
from enhancer_dagster.simulator.simulator import Simulator

PROBLEMS = (
    (
        "Printer on floor two does not print",
        "The queue fills up and nothing comes out",
        "Restarted the spooler",
    ),
    (
        "Outlook asks for the password",
        "Since yesterday it asks again and again",
        "Cleared the credential store",
    ),
    ("VPN disconnects at home", "Every hour the tunnel drops", "New certificate installed"),
    ("Blue screen after update", "Stop code 0x0000007E on laptop LT-2231", "Removed the driver"),
    ("No access to drive P:", "New colleague cannot open the finance share", "Added to the group"),
    ("Phone has no dial tone", "Desk phone in room 4 is silent", "Replaced the cable"),
)
ARTICLES = (
    ("How to restart the print spooler", "Open services, stop Spooler, delete the queue, start it again."),
    ("Resetting a forgotten password", "Use the self-service portal and the code from your phone."),
)


def ticket(number: str, subject: str, body: str, resolution: str = "Solved", **record: str) -> Document:
    """A resolved ticket."""
    shown = {"subject": subject, "resolution": resolution, "status": "Closed", **record}
    shown["resolved_at"] = datetime(2025, 11, 2, 15, 30, tzinfo=UTC).isoformat()
    return Document(number, subject, body, dict(shown))


def tickets(prefix: str = "") -> list[Document]:
    """Six resolved tickets on different matters."""
    return [
        ticket(f"{prefix}{number}", subject, body, resolution)
        for number, (subject, body, resolution) in enumerate(PROBLEMS, start=1)
    ]


def content(documents: Sequence[Document] | None = None) -> IndexContent:
    """Tickets, two articles and an asset."""
    articles = [
        Document(f"A{number}", title, text, {"title": title, "content": text})
        for number, (title, text) in enumerate(ARTICLES, start=1)
    ]
    asset = Asset(asset_id="1", name="srv-1", hostnames=("srv-1.example.org",), addresses=("10.0.1.100",))
    return IndexContent(tickets() if documents is None else documents, articles, [asset])


def solved(desk: Simulator, subject: str, body: str, resolution: str) -> str:
    """A ticket that is opened and closed; its id."""
    ticket_id = desk.add_ticket(subject, body, announce=False).ticket_id
    desk.edit_ticket(ticket_id, status="Closed", resolution=resolution)
    return ticket_id


def new_work_dir(folder: Path, encoders: Path) -> Path:
    """A folder for builds that finds its encoder exported already."""
    folder.mkdir()
    (folder / "encoders").symlink_to(encoders)
    return folder
