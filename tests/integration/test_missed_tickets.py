"""Polling for tickets whose webhook never came: a real bridge, a real history, a simulated service desk."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import HttpUrl, SecretStr

from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.service_desk import PostgresTokenStore, ServiceDeskConnector
from enhancer_dagster.database import Database
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.section import render_section
from enhancer_dagster.domain.steps.missed import EVENT, PollPorts, PollReport, Progress, poll
from enhancer_dagster.domain.tenants import TicketFilter
from enhancer_dagster.domain.text import content_hash
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from enhancer_dagster.simulator.desk import epoch_milliseconds
from enhancer_dagster.simulator.faults import Fault, FaultKind
from enhancer_dagster.simulator.options import SimulatorOptions
from enhancer_dagster.simulator.server import running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from tests.bridge_server import KnownTenants, RunningBridge, shared_bridge
from tests.factories import ON_LOOPBACK, make_record, make_tenant
from tests.live import LiveSystem, eventually, live_system

ADDED = datetime.now(UTC) - timedelta(days=1)
TENANTS = KnownTenants([make_tenant("acme"), make_tenant("beta")])


@dataclass
class Desk:
    """A service desk, its tenant, and what the polls so far have reported."""

    simulator: Simulator
    bridge: RunningBridge
    ports: PollPorts
    progress: Progress | None = None
    enhance: TicketFilter = field(default_factory=TicketFilter)

    def add(self, minutes_ago: float = 10, subject: str = "It is broken", **fields: str) -> str:
        """A ticket of that age, of which no webhook tells."""
        created = round((datetime.now(UTC) - timedelta(minutes=minutes_ago)).timestamp() * 1000)
        ticket = self.simulator.add_ticket(subject, created=created, announce=False, **fields)  # type: ignore[arg-type]
        return ticket.ticket_id

    def edit(self, ticket_id: str, minutes_ago: float = 5, **fields: str) -> None:
        moment = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        self.simulator.desk.now = lambda: round(moment.timestamp() * 1000)
        self.simulator.edit_ticket(ticket_id, **fields)

    def poll(self, after: timedelta = timedelta(0)) -> PollReport:
        """Poll as if `after` had passed."""
        tenant = make_tenant("acme", created_at=ADDED, enhance=self.enhance)
        report = poll(tenant, self.ports, self.progress, datetime.now(UTC) + after, Deadline.after(30))
        self.progress = Progress.model_validate_json(report.progress.model_dump_json())
        return report

    def work(self, *, completed: bool = True) -> list[str]:
        """What runs do with everything that waits; the tickets, in order."""
        claims = self.bridge.queue.claim(100, 0)
        for claim in claims:
            ticket = self.simulator.desk.ticket(claim.job.ticket_id)
            said = content_hash(ticket.values["subject"], ticket.description or "")
            run_id = str(uuid4())
            self.bridge.queue.start(claim.job.job_id, claim.attempt, run_id, None)
            if completed:
                section = render_section("Restart it.", claim.correlation_id, ADDED, without_ai=False)
                html = f"{ticket.description or ''}{section.html}"
                self.simulator.desk.change(ticket, {"description": html})
                self.ports.history.save(
                    make_record(
                        job_id=claim.job.job_id,
                        correlation_id=claim.correlation_id,
                        ticket_id=ticket.ticket_id,
                        completed_at=datetime.now(UTC),
                        content_hash=said,
                    )
                )
            self.bridge.finish(claim, run_id, "completed" if completed else "failed")
        return [claim.job.ticket_id for claim in claims]


@pytest.fixture(scope="module")
def running(postgres: EmbeddedPostgres) -> Iterator[RunningBridge]:
    with shared_bridge(postgres, TENANTS) as bridge:
        yield bridge


@pytest.fixture
def desk(running: RunningBridge) -> Iterator[Desk]:
    running.empty()
    running.sql("TRUNCATE pipeline.enhancement_history")
    database = Database(running.database_url)
    connector = ServiceDeskConnector(
        tokens=PostgresTokenStore(database, Cipher(generate_key())),
        destinations=ON_LOOPBACK,
        sleep=lambda _: None,
    )
    with running_simulator(Simulator(SimulatorOptions())) as simulator:
        tenant = make_tenant("acme")
        connection = tenant.service_desk.model_copy(
            update={"base_url": HttpUrl(simulator.url), "api_key": SecretStr("simulator")}
        )
        client = connector.connect(tenant.model_copy(update={"service_desk": connection}))
        ports = PollPorts(client, PostgresHistory(database), running.queue, running.queue)
        yield Desk(simulator.simulator, running, ports)


def test_a_ticket_whose_webhook_never_came_is_enqueued_once(desk: Desk) -> None:
    ticket_id = desk.add(priority="High")
    assert desk.poll().enqueued == [ticket_id]
    assert desk.poll().enqueued == []
    (claim,) = desk.bridge.queue.claim(10, 0)
    assert (claim.job.ticket_id, claim.job.priority, claim.event) == (ticket_id, "High", EVENT)


def test_a_lost_cursor_enqueues_nothing_twice(desk: Desk) -> None:
    ticket_id = desk.add()
    assert desk.poll().enqueued == [ticket_id]
    desk.progress = None
    report = desk.poll()
    assert (report.enqueued, report.known) == ([], 1)
    assert desk.bridge.count("jobs") == 1


def test_what_is_young_is_left_to_its_webhook_and_not_forgotten(desk: Desk) -> None:
    ticket_id = desk.add(minutes_ago=1)
    assert desk.poll().enqueued == []
    assert desk.poll(after=timedelta(minutes=2)).enqueued == [ticket_id]


def test_a_ticket_that_a_webhook_told_of_is_one_job(desk: Desk) -> None:
    told, untold = desk.add(), desk.add()
    desk.bridge.send(ticket_id=told)
    report = desk.poll()
    assert (report.enqueued, report.known) == ([untold], 1)
    assert desk.bridge.count("jobs") == 2


def test_polling_starts_at_the_moment_the_tenant_was_added(desk: Desk) -> None:
    desk.add(minutes_ago=25 * 60)
    later = desk.add(minutes_ago=23 * 60)
    assert desk.poll().enqueued == [later]


def test_our_own_write_that_comes_back_by_polling_starts_nothing(desk: Desk) -> None:
    ticket_id = desk.add()
    desk.poll()
    assert desk.work() == [ticket_id]
    report = desk.poll(after=timedelta(minutes=10))
    assert (report.enqueued, report.not_due) == ([], 1)


def test_a_technicians_edit_that_no_webhook_told_of_is_enhanced_when_the_text_changed(desk: Desk) -> None:
    ticket_id = desk.add()
    desk.poll()
    desk.work()
    desk.edit(ticket_id, status="On Hold")
    assert desk.poll().enqueued == []
    description = desk.simulator.desk.ticket(ticket_id).description
    desk.edit(ticket_id, minutes_ago=4, description=f"{description}<p>Now it smokes</p>")
    assert desk.poll().enqueued == [ticket_id]
    assert desk.work() == [ticket_id]


def test_a_service_desk_whose_clock_is_slow_loses_no_edit(desk: Desk) -> None:
    # The edit is done after the enhancement and looks as if it were an hour older.
    ticket_id = desk.add(minutes_ago=70)
    desk.poll()
    desk.work()
    desk.edit(ticket_id, minutes_ago=60, subject="It smokes")
    desk.progress = None
    assert desk.poll().enqueued == [ticket_id]


def test_a_clock_that_jumps_settles_nothing_that_was_not_seen(desk: Desk) -> None:
    first = desk.add(minutes_ago=10)
    assert desk.poll(after=timedelta(days=2)).enqueued == [first]
    second = desk.add(minutes_ago=8)
    assert desk.poll(after=timedelta(hours=-2)).enqueued == []
    assert desk.poll().enqueued == [second]


def test_closed_tickets_and_those_the_tenant_leaves_out_cost_no_run(desk: Desk) -> None:
    desk.add(status="Closed")
    desk.add(group="Payroll")
    wanted = desk.add(group="Network")
    desk.enhance = TicketFilter(groups=("network",))
    report = desk.poll()
    assert (report.enqueued, report.not_due) == ([wanted], 2)


def test_a_ticket_that_failed_is_left_to_a_person(desk: Desk) -> None:
    ticket_id = desk.add()
    desk.poll()
    desk.work(completed=False)
    desk.edit(ticket_id, minutes_ago=3, description="<p>What the failed run wrote</p>")
    assert desk.poll().enqueued == []


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.RESET])
def test_a_service_desk_that_fails_is_asked_again_from_where_it_was(desk: Desk, kind: FaultKind) -> None:
    tickets = [desk.add(minutes_ago=200 - number) for number in range(120)]
    fault = Fault(kind=kind, method="GET", path="/requests$", skip=1, status=503)
    number = desk.simulator.faults.add(fault)
    broken = desk.poll()
    assert broken.error
    assert broken.enqueued == tickets[:100]
    again = desk.poll()
    assert (again.enqueued, again.error is not None) == ([], True)
    desk.simulator.faults.remove(number)
    assert desk.poll().enqueued == tickets[100:]
    assert desk.poll().enqueued == []


def test_a_bridge_that_is_away_leaves_the_ticket_for_the_next_poll(desk: Desk) -> None:
    ticket_id = desk.add()
    desk.bridge.sql("ALTER TABLE bridge.deliveries RENAME TO deliveries_away")
    try:
        away = desk.poll()
    finally:
        desk.bridge.sql("ALTER TABLE bridge.deliveries_away RENAME TO deliveries")
    assert (away.enqueued, away.error is None) == ([], False)
    assert desk.poll().enqueued == [ticket_id]


def test_pages_are_read_to_the_end_also_where_many_tickets_are_of_one_moment(desk: Desk) -> None:
    created = round((datetime.now(UTC) - timedelta(minutes=30)).timestamp() * 1000)
    same = [
        desk.simulator.add_ticket(f"Flood {number}", created=created, announce=False).ticket_id
        for number in range(250)
    ]
    later = [desk.add(minutes_ago=20 - number / 60) for number in range(120)]
    assert sorted(desk.poll().enqueued) == sorted(same + later)


def test_edited_and_never_edited_tickets_are_both_found(desk: Desk) -> None:
    # On premises a ticket that was never edited has no time of change.
    old = desk.add(minutes_ago=30 * 60)
    fresh = desk.add(minutes_ago=30)
    desk.edit(old, minutes_ago=20, subject="Still broken")
    assert sorted(desk.poll().enqueued) == sorted([old, fresh])
    assert len(desk.progress.handled if desk.progress else {}) <= 2


@pytest.mark.xdist_group("live")
def test_the_deployment_enhances_what_no_webhook_told_of_once(open_folder: Path) -> None:
    with live_system(open_folder / "missed", missed_ticket_poll_seconds=1) as live:
        tenant = live.add_tenant(created_at=ADDED)
        # Its clock is ten minutes slow, so that what it changes is old enough for polling at once.
        live.desk.simulator.desk.now = lambda: epoch_milliseconds() - 600_000
        missed = live.desk.simulator.add_ticket("Nobody told us", announce=False).ticket_id
        eventually(lambda: "Correlation ID:" in live.description(missed), "the section is written")
        eventually(lambda: "1 not due" in _last_words(live), "our own write comes back by polling")
        assert live.description(missed).count("Correlation ID:") == 1
        assert [row["skipped"] for row in live.history.rows(tenant_id=tenant.tenant_id)] == [False]


def _last_words(live: LiveSystem) -> str:
    """What the ticks of the sensor have said."""
    data = live.graphql(
        """{ sensorOrError(sensorSelector: {repositoryLocationName: "enhancer",
               repositoryName: "__repository__", sensorName: "missed_ticket_sensor"}) {
             ... on Sensor { sensorState { ticks(limit: 20) { skipReason } } } } }"""
    )
    ticks = data["sensorOrError"]["sensorState"]["ticks"]
    return " ".join(tick["skipReason"] or "" for tick in ticks)
