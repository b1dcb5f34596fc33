"""Loading the sample service desk and a user's own tickets."""

import gzip
import json
from pathlib import Path

import pytest

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.options import SimulatorOptions
from enhancer_dagster.simulator.seed import NewTicket, Seed, SeedError, sample_seed, tickets_of_file
from enhancer_dagster.simulator.simulator import Simulator

RESOLVED = {
    "id": "2041",
    "subject": "VPN drops",
    "description": "Since Monday.\nEvery hour.",
    "site": "Oslo",
    "resolution": "<p>Reinstalled the client.</p>",
    "priority": "High",
    "group": "Remote Access",
    "status": "Closed",
    "created_at": "2025-03-01T08:00:00Z",
    "resolved_at": "2025-03-02T09:30:00+01:00",
}
ARTICLE = {"id": "12", "title": "VPN client", "content": "<p>How to install it.</p>", "topic": "Network"}
ASSET = {
    "id": "900",
    "name": "vpn-gw-01",
    "hostnames": ["vpn-gw-01", "vpn-gw-01.example.org"],
    "addresses": ["10.0.0.1", "2001:db8::1"],
    "role": "VPN gateway",
    "state": "In Use",
    "site": "Oslo",
    "last_seen": "2025-11-01T10:00:00Z",
    "product_type": "Firewall",
}
NEW = {
    "id": "n-1",
    "subject": "VPN again",
    "description": "It drops.",
    "priority": "Urgent",
    "group": "Remote Access",
    "site": "Oslo",
    "expected_ticket": "2041",
    "expected_article": None,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"resolved_tickets": RESOLVED, "articles": ARTICLE, "assets": ASSET, "new_tickets": NEW}
    for name, row in files.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n\n")
    return tmp_path


def test_a_desk_starts_with_its_seed_and_new_tickets_wait(folder: Path) -> None:
    simulator = Simulator(seed=sample_seed(folder))
    ticket = simulator.desk.ticket("2041")
    assert (ticket.status, ticket.name_of("group"), ticket.name_of("site")) == (
        "Closed",
        "Remote Access",
        "Oslo",
    )
    assert ticket.description == "Since Monday.<br>Every hour."
    assert ticket.resolution is not None
    assert ticket.resolution.content == "<p>Reinstalled the client.</p>"
    assert (ticket.created, ticket.resolved) == (1740816000000, 1740904200000)
    assert simulator.desk.solutions["12"]["topic"]["name"] == "Network"
    assert simulator.desk.assets["900"].addresses == ("10.0.0.1", "2001:db8::1")
    assert list(simulator.desk.tickets) == ["2041"]

    (arrival,) = simulator.release(5)
    assert arrival.ticket.ticket_id == "2042"
    assert arrival.ticket.name_of("priority") == "Urgent"
    assert (arrival.expected_ticket, arrival.expected_article) == ("2041", None)
    assert simulator.release(5) == []


def test_cloud_ids_have_18_digits_and_expectations_follow(folder: Path) -> None:
    simulator = Simulator(SimulatorOptions(edition=Edition.CLOUD), seed=sample_seed(folder))
    (arrival,) = simulator.release(1)
    assert arrival.expected_ticket in simulator.desk.tickets
    for group in (simulator.desk.tickets, simulator.desk.solutions, simulator.desk.assets):
        assert all(len(one) == 18 for one in group)


def test_new_tickets_keep_a_number_that_is_free() -> None:
    new = tuple(NewTicket(source_id, "S", "") for source_id in ("500", "500", "abc", "499"))
    simulator = Simulator(seed=Seed(new=new))
    arrivals = simulator.release(9, announce=False)
    assert [arrival.ticket.ticket_id for arrival in arrivals] == ["500", "501", "502", "499"]


def test_a_reset_brings_the_seed_back(folder: Path) -> None:
    simulator = Simulator(seed=sample_seed(folder))
    simulator.release(1)
    simulator.edit_ticket("2041", subject="changed")
    simulator.reset(("desk",))
    assert simulator.desk.ticket("2041").subject == "VPN drops"
    assert len(simulator.held) == 1
    assert list(simulator.desk.tickets) == ["2041"]


def test_the_shipped_sample_is_whole() -> None:
    simulator = Simulator(seed=sample_seed())
    desk = simulator.desk
    arrivals = simulator.release(1000, announce=False)
    assert len(desk.tickets) - len(arrivals) >= 150
    assert len(desk.solutions) >= 40
    assert len(desk.assets) >= 80
    assert len(arrivals) >= 30
    assert all(a.expected_ticket in desk.tickets for a in arrivals if a.expected_ticket)
    assert all(a.expected_article in desk.solutions for a in arrivals if a.expected_article)


LINES = [
    {
        "id": "a",
        "text": "Printer on floor 2 <is> jammed & nobody can print. " + "More words follow here. " * 9,
    },
    {"id": 7, "subject": "Own subject", "description": "<p>html</p>"},
    {"id": "c", "text": "one\ntwo"},
]


@pytest.mark.parametrize("name", ["tickets.jsonl", "tickets.jsonl.gz"])
def test_a_user_s_own_tickets(tmp_path: Path, name: str) -> None:
    data = "".join(json.dumps(line) + "\n" for line in LINES).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    first, second, third = tickets_of_file(tmp_path / name)
    assert first.subject.startswith("Printer on floor 2")
    assert first.description.startswith("Printer on floor 2 &lt;is&gt; jammed &amp; nobody")
    assert len(first.subject) <= 80
    assert (second.source_id, second.subject, second.description) == ("7", "Own subject", "<p>html</p>")
    assert (third.subject, third.description) == ("one two", "one<br>two")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"id": "1", "text": "fine"}\n{"id": "2"}\n', r"line 2: no 'description'"),
        ('{"text": "x"}\n', r"line 1: no 'id'"),
        ("nonsense\n", r"line 1: "),
        ("[1]\n", r"line 1: not an object"),
        ('{"id": "1", "text": 5}\n', r"line 1: not text"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "tickets.jsonl"
    path.write_text(content)
    with pytest.raises(SeedError, match=said):
        tickets_of_file(path)


def test_a_file_that_is_not_there_or_not_gzip_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl.gz").write_bytes(b"not gzip")
    for name in ("missing.jsonl", "broken.jsonl.gz"):
        with pytest.raises(SeedError, match=name):
            tickets_of_file(tmp_path / name)


def test_the_shared_tickets_load(shared: Path) -> None:
    twelve_thousand = tickets_of_file(shared / "data/tickets/it_tickets_12k.jsonl.gz")
    seamonkey = tickets_of_file(shared / "data/retrieval/seamonkey/documents.jsonl")
    assert len(twelve_thousand) > 10_000
    assert len(seamonkey) > 100
    assert all(ticket.subject for ticket in (*twelve_thousand, *seamonkey))
