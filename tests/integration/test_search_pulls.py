"""Pulls from a service desk into the corpus, against the simulator over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.service_desk import PostgresTokenStore, ServiceDeskConnector
from enhancer_dagster.database import Database
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import ServiceDeskUnavailableError
from enhancer_dagster.domain.ports import ServiceDesk
from enhancer_dagster.domain.tenants import TicketFilter
from enhancer_dagster.search.corpus import Corpus
from enhancer_dagster.search.pulls import Pull, pull_articles, pull_assets, pull_resolved_tickets
from enhancer_dagster.simulator.faults import Fault, FaultKind
from enhancer_dagster.simulator.records import Asset
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from tests.factories import ON_LOOPBACK, make_tenant

NOON = 1_762_084_800_000
"""2025-11-02 12:00 UTC in epoch milliseconds, as SDP counts."""


@pytest.fixture
def desk() -> Iterator[RunningSimulator]:
    with running_simulator(Simulator()) as running:
        yield running


@pytest.fixture
def client(desk: RunningSimulator) -> ServiceDesk:
    tokens = PostgresTokenStore(Database(SecretStr("postgresql://unused")), Cipher(generate_key()))
    tenant = make_tenant("acme", base_url=desk.url)
    connection = tenant.service_desk.model_copy(update={"api_key": SecretStr("simulator")})
    connector = ServiceDeskConnector(tokens=tokens, destinations=ON_LOOPBACK, sleep=lambda _: None)
    return connector.connect(tenant.model_copy(update={"service_desk": connection}))


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    with Corpus(tmp_path / "acme.duckdb") as opened:
        yield opened


def resolved(desk: RunningSimulator, count: int, *, group: str = "Network") -> list[str]:
    ids = []
    for number in range(count):
        ticket = desk.simulator.add_ticket(
            subject=f"Problem {number}",
            description=f"<p>It is <b>broken</b> {number}</p>",
            group=group,
            announce=False,
        )
        desk.simulator.edit_ticket(ticket.ticket_id, status="Closed", resolution=f"Fixed it {number}")
        ids.append(ticket.ticket_id)
    return ids


def pull(client: ServiceDesk, corpus: Corpus, **fields: object) -> Pull:
    values = {"index": TicketFilter(), "deadline": Deadline.after(30)} | fields
    return Pull(client, corpus, **values)  # type: ignore[arg-type]


def test_resolved_tickets_come_as_text_with_their_resolution(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    resolved(desk, 3)
    desk.simulator.add_ticket(subject="Still open", announce=False)
    report = pull_resolved_tickets(pull(client, corpus))
    assert (report.changed, report.new, report.total) == (3, 3, 3)
    row = corpus.tickets().set_index("subject").loc["Problem 1"]
    assert (row["body"], row["resolution"]) == ("It is broken 1", "Fixed it 1")


def test_more_than_a_page_comes_without_holes(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    ids = resolved(desk, 230)
    assert pull_resolved_tickets(pull(client, corpus)).total == 230
    assert corpus.ticket_ids() == set(ids)


def test_tickets_that_were_never_changed_hide_no_others(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    # Imported as closed, newest first: they have no time of change, and stand together in such a list.
    imported = [
        desk.simulator.add_ticket(
            f"Old {number}", status="Closed", created=NOON - number * 60_000, announce=False
        ).ticket_id
        for number in range(130)
    ]
    edited = resolved(desk, 130)
    report = pull_resolved_tickets(pull(client, corpus))
    assert (report.seen, report.new, report.total) == (260, 260, 260)
    assert corpus.ticket_ids() == {*imported, *edited}
    desk.simulator.edit_ticket(imported[5], resolution="Late insight")
    desk.simulator.desk.purge(imported[6])
    report = pull_resolved_tickets(pull(client, corpus, full=True))
    assert (report.seen, report.removed, report.total) == (259, 1, 259)
    assert "Late insight" in corpus.tickets()["resolution"].tolist()


@pytest.mark.parametrize("broken_at", [20, 120, 150, 255])
def test_a_pull_that_breaks_off_anywhere_leaves_no_hole(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus, broken_at: int
) -> None:
    edited = resolved(desk, 130)
    imported = [
        desk.simulator.add_ticket(
            f"Old {number}", status="Closed", created=NOON - number * 60_000, announce=False
        ).ticket_id
        for number in range(130)
    ]
    ids = [*edited, *imported]
    broken = desk.simulator.faults.add(Fault(kind=FaultKind.STATUS, status=500, ticket=ids[broken_at]))
    with pytest.raises(ServiceDeskUnavailableError):
        pull_resolved_tickets(pull(client, corpus))
    assert ids[broken_at] not in corpus.ticket_ids()
    # Meanwhile work goes on: what was read already and what was not is changed.
    desk.simulator.edit_ticket(edited[0], description="Told again")
    desk.simulator.edit_ticket(edited[-1], description="Told again")
    desk.simulator.faults.remove(broken)
    pull_resolved_tickets(pull(client, corpus))
    assert corpus.ticket_ids() == set(ids)
    assert corpus.tickets()["body"].tolist().count("Told again") == 2


def test_a_pull_that_breaks_off_goes_on_where_it_stopped(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    ids = resolved(desk, 150)
    broken = desk.simulator.faults.add(Fault(kind=FaultKind.STATUS, status=500, ticket=ids[120]))
    with pytest.raises(ServiceDeskUnavailableError):
        pull_resolved_tickets(pull(client, corpus))
    assert 0 < len(corpus.ticket_ids()) < 150
    desk.simulator.faults.remove(broken)
    pull_resolved_tickets(pull(client, corpus))
    assert corpus.ticket_ids() == set(ids)


def test_a_second_pull_asks_only_for_what_changed(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    ids = resolved(desk, 5)
    pull_resolved_tickets(pull(client, corpus))
    desk.simulator.edit_ticket(ids[2], resolution="Fixed it better", description="It was broken here")
    report = pull_resolved_tickets(pull(client, corpus))
    assert (report.changed, report.new, report.total) == (1, 0, 5)
    assert corpus.tickets().set_index("ticket_id").loc[ids[2]]["resolution"] == "Fixed it better"


def test_links_that_people_made_come_with_the_tickets(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    ids = resolved(desk, 4)
    desk.simulator.link(ids[0], ids[1])
    pull_resolved_tickets(pull(client, corpus))
    assert corpus.links() == {ids[0]: {ids[1]}, ids[1]: {ids[0]}}
    desk.simulator.link(ids[2], ids[3])
    desk.simulator.faults.add(Fault(kind=FaultKind.STATUS, status=400, path="link_requests"))
    told: list[str] = []
    report = pull_resolved_tickets(pull(client, corpus, full=True, tell=told.append))
    assert report.total == 4, "tickets come even if their links do not"
    assert any("links of ticket" in line for line in told)


def test_a_re_opened_ticket_is_no_evidence_any_more(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    ids = resolved(desk, 2)
    pull_resolved_tickets(pull(client, corpus))
    desk.simulator.edit_ticket(ids[0], status="Open")
    assert pull_resolved_tickets(pull(client, corpus)).removed == 1
    assert corpus.ticket_ids() == {ids[1]}


def test_a_full_pull_notices_what_was_deleted(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    ids = resolved(desk, 3)
    pull_resolved_tickets(pull(client, corpus))
    desk.simulator.desk.purge(ids[1])
    assert pull_resolved_tickets(pull(client, corpus, full=True)).removed == 1
    assert corpus.ticket_ids() == {ids[0], ids[2]}


def test_the_tenants_filter_keeps_groups_out(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    resolved(desk, 2, group="Network")
    resolved(desk, 2, group="Hardware Problems")
    pull_resolved_tickets(pull(client, corpus, index=TicketFilter(groups=("network",))))
    assert set(corpus.tickets()["group"]) == {"Network"}


def test_the_inventory_and_the_articles_come_too(
    desk: RunningSimulator, client: ServiceDesk, corpus: Corpus
) -> None:
    server = Asset(asset_id="7", name="srv-1", hostnames=("srv-1",), addresses=("10.0.0.7",), role="web")
    other = Asset(asset_id="8", name="srv-2", hostnames=("srv-2",), addresses=("10.0.0.8",))
    desk.simulator.add_asset(server)
    desk.simulator.add_asset(other)
    report = pull_assets(pull(client, corpus))
    assert (report.total, report.new, report.changed, report.removed) == (2, 2, 2, 0)
    assert list(corpus.assets().set_index("asset_id").loc["7"]["addresses"]) == ["10.0.0.7"]
    desk.simulator.add_asset(replace(server, addresses=("10.0.0.9",)))
    report = pull_assets(pull(client, corpus))
    assert (report.total, report.new, report.changed, report.removed) == (2, 0, 1, 0)
    del desk.simulator.desk.assets["8"]
    report = pull_assets(pull(client, corpus))
    assert (report.total, report.new, report.changed, report.removed) == (1, 0, 0, 1)
    assert pull_articles(pull(client, corpus)).total == 0
