"""Faults on request: each kind as a client meets it, and what the log says of it afterwards."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.app import create_app
from enhancer_dagster.simulator.faults import Fault, FaultKind
from enhancer_dagster.simulator.journal import CallRecord
from enhancer_dagster.simulator.options import SimulatorOptions
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator


class Desk:
    """One ticket whose description is "before", and a client that wants it to be "after"."""

    def __init__(self, running: RunningSimulator, http: httpx.Client) -> None:
        self.running = running
        self.simulator = running.simulator
        self.ticket = self.simulator.add_ticket("S", "before")
        self.http = http
        self.path = f"/api/v3/requests/{self.ticket.ticket_id}"

    def write(self, **kwargs: Any) -> httpx.Response:
        data = {"input_data": json.dumps({"request": {"description": "after"}})}
        return self.http.put(self.path, data=data, **kwargs)

    def last(self) -> CallRecord:
        return self.simulator.journal.calls()[-1]

    @property
    def was_written(self) -> bool:
        return self.ticket.description == "after"


@pytest.fixture(scope="module", params=list(Edition))
def served(request: pytest.FixtureRequest) -> Iterator[tuple[RunningSimulator, httpx.Client]]:
    simulator = Simulator(SimulatorOptions(edition=request.param))
    headers = {"authtoken": "simulator", "Authorization": f"Bearer {simulator.tokens.issue(3600)}"}
    with (
        running_simulator(simulator) as running,
        httpx.Client(base_url=running.url, headers=headers) as http,
    ):
        yield running, http


@pytest.fixture
def desk(served: tuple[RunningSimulator, httpx.Client]) -> Desk:
    running, http = served
    running.simulator.reset(("desk", "faults", "log"))
    return Desk(running, http)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504])
def test_a_status_is_answered_and_nothing_is_written(desk: Desk, status: int) -> None:
    desk.simulator.faults.add(Fault(kind=FaultKind.STATUS, status=status, retry_after=4, times=1))
    answer = desk.write()
    assert answer.status_code == status
    assert answer.headers["Retry-After"] == "4"
    assert not desk.was_written
    assert (desk.last().status, desk.last().changed, desk.last().fault) == (status, False, "status")
    assert desk.write().status_code == 200
    assert desk.was_written
    assert (desk.last().changed, desk.last().text, desk.last().fault) == (True, "after", None)


def test_throttling_comes_in_the_edition_s_way(desk: Desk) -> None:
    desk.simulator.faults.add(Fault(kind=FaultKind.THROTTLE, times=1))
    answer = desk.write()
    is_cloud = desk.simulator.options.edition is Edition.CLOUD
    assert answer.status_code == (429 if is_cloud else 400)
    assert answer.json()["response_status"]["status"] == "failed"
    assert not desk.was_written


def test_a_warning_is_200_and_nothing_is_written(desk: Desk) -> None:
    desk.simulator.faults.add(Fault(kind=FaultKind.WARNING, fields=("resolution",)))
    answer = desk.write()
    status = answer.json()["response_status"]
    assert (answer.status_code, status["status"]) == (200, "warning")
    assert status["messages"][0]["fields"] == ["resolution"]
    assert not desk.was_written


def test_a_slow_call_outlasts_an_impatient_client(desk: Desk) -> None:
    desk.simulator.faults.add(Fault(kind=FaultKind.SLOW, seconds=0.3))
    with pytest.raises(httpx.ReadTimeout):
        desk.write(timeout=0.05)
    assert desk.write(timeout=10).status_code == 200


def test_a_dripping_answer_is_whole_for_a_patient_client(desk: Desk) -> None:
    desk.simulator.faults.add(Fault(kind=FaultKind.DRIP, seconds=0.0001, times=1))
    assert desk.write().json()["request"]["description"] == "after"
    desk.simulator.faults.add(Fault(kind=FaultKind.DRIP, seconds=0.05, times=1))
    # Every single byte comes in time, so no read timeout ever strikes: the client needs a deadline.
    with desk.http.stream("GET", desk.path, timeout=5) as answer:
        first = next(answer.iter_raw())
    assert len(first) == 1


@pytest.mark.parametrize(("kind", "applied"), [(FaultKind.TIMEOUT, False), (FaultKind.APPLIED_TIMEOUT, True)])
def test_a_timeout_looks_the_same_applied_or_not(desk: Desk, kind: FaultKind, *, applied: bool) -> None:
    desk.simulator.faults.add(Fault(kind=kind))
    with pytest.raises(httpx.ReadTimeout):
        desk.write(timeout=0.2)
    assert desk.was_written is applied
    assert (desk.last().status, desk.last().changed, desk.last().fault) == (None, applied, kind)


@pytest.mark.parametrize("kind", [FaultKind.TIMEOUT, FaultKind.APPLIED_TIMEOUT])
def test_a_timeout_ends_with_a_cut(desk: Desk, kind: FaultKind) -> None:
    desk.simulator.faults.add(Fault(kind=kind, seconds=0.05))
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        desk.write(timeout=10)


@pytest.mark.parametrize(("kind", "applied"), [(FaultKind.RESET, False), (FaultKind.APPLIED_RESET, True)])
def test_a_reset_looks_the_same_applied_or_not(desk: Desk, kind: FaultKind, *, applied: bool) -> None:
    desk.simulator.faults.add(Fault(kind=kind, times=1))
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        desk.write()
    assert desk.was_written is applied
    assert (desk.last().status, desk.last().changed, desk.last().fault) == (None, applied, kind)
    assert desk.write().status_code == 200


def test_a_header_asks_for_a_fault_of_its_own_call_only(desk: Desk) -> None:
    answer = desk.write(headers={"X-Simulate": "status=503; retry-after=2"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert desk.write().status_code == 200
    assert desk.write(headers={"X-Simulate": "nonsense"}).status_code == 400


def test_the_token_endpoint_fails_too(desk: Desk) -> None:
    desk.simulator.faults.add(Fault(kind=FaultKind.STATUS, path="/oauth/", status=502))
    assert httpx.post(f"{desk.running.origin}/oauth/v2/token").status_code == 502


def test_the_admin_api_sets_shows_and_removes_faults(desk: Desk) -> None:
    url = f"{desk.running.admin_url}/faults"
    ticket_id = desk.ticket.ticket_id
    wanted = {"kind": "status", "status": 500, "method": "PUT", "ticket": ticket_id, "times": 2}
    (fault,) = httpx.post(url, json=wanted).json()["faults"]
    assert fault.items() >= wanted.items()
    assert [desk.write().status_code, desk.http.get(desk.path).status_code] == [500, 200]
    assert httpx.get(url).json()["faults"][0]["times"] == 1
    assert httpx.delete(f"{url}/{fault['id']}").json() == {"removed": True}
    assert desk.write().status_code == 200
    assert len(httpx.post(url, json=[wanted, wanted]).json()["faults"]) == 2
    httpx.delete(url)
    assert desk.write().status_code == 200


@pytest.mark.parametrize(
    "wrong", [{}, {"kind": "explode"}, {"kind": "reset", "path": "("}, {"kind": "slow", "x": 1}]
)
def test_a_fault_that_means_nothing_is_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    answer = httpx.post(f"{desk.running.admin_url}/faults", json=wrong)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_faults_do_not_reach_the_admin_api(desk: Desk) -> None:
    desk.simulator.faults.add(Fault(kind=FaultKind.RESET))
    assert httpx.get(f"{desk.running.admin_url}/faults").status_code == 200


async def _in_process(simulator: Simulator) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(simulator))
    async with httpx.AsyncClient(transport=transport, base_url="http://sdp") as http:
        return await http.get("/api/v3/requests", headers={"authtoken": "simulator", "X-Simulate": "reset"})


def test_called_in_process_a_reset_is_an_exception() -> None:
    import asyncio

    with pytest.raises(ConnectionResetError):
        asyncio.run(_in_process(Simulator()))
