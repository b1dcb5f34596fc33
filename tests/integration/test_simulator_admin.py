"""What is done to the simulator from outside the API: log, edits, held-back tickets, webhooks, options."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from enhancer_dagster.simulator.records import Asset
from enhancer_dagster.simulator.seed import NewTicket, Seed
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from enhancer_dagster.simulator.webhooks import WebhookTarget

HELD = (
    NewTicket("n1", "First", "one", priority="High", group="Network", expected_ticket="9"),
    NewTicket("n2", "Second", "two"),
)


@pytest.fixture
def running() -> Iterator[RunningSimulator]:
    with running_simulator(Simulator(seed=Seed(new=HELD))) as running:
        yield running


def ask(running: RunningSimulator, method: str, path: str, input_data: Any = None, **headers: str) -> Any:
    field = {} if input_data is None else {"input_data": json.dumps(input_data)}
    headers = {"authtoken": "simulator", **headers}
    url = f"{running.url}/api/v3{path}"
    if method == "GET":
        return httpx.get(url, headers=headers, params=field).json()
    return httpx.request(method, url, headers=headers, data=field).json()


def admin(running: RunningSimulator, method: str, path: str, body: Any = None) -> Any:
    return httpx.request(method, f"{running.admin_url}{path}", json=body).json()


def test_the_log_says_what_came_and_what_it_changed(running: RunningSimulator) -> None:
    ticket_id = ask(running, "POST", "/requests", {"request": {"subject": "S"}})["request"]["id"]
    path, correlation = f"/requests/{ticket_id}", "550e8400-e29b-41d4-a716-446655440000"
    headers = {"X-Correlation-ID": correlation}
    ask(running, "PUT", path, {"request": {"description": "<p>new</p>"}}, **headers)
    ask(running, "POST", f"{path}/notes", {"note": {"description": "a note"}}, **headers)
    ask(running, "GET", path)
    ask(running, "PUT", path, {"request": {"nonsense": 1}})
    calls = admin(running, "GET", "/log")["calls"]
    said = [(c["number"], c["method"], c["ticket_id"], c["status"], c["changed"], c["text"]) for c in calls]
    assert said == [
        (1, "POST", ticket_id, 201, True, ""),
        (2, "PUT", ticket_id, 200, True, "<p>new</p>"),
        (3, "POST", ticket_id, 201, True, "a note"),
        (4, "GET", ticket_id, 200, False, None),
        (5, "PUT", ticket_id, 400, False, None),
    ]
    assert [c["correlation_id"] for c in calls] == [None, correlation, correlation, None, None]
    assert [c["seconds"] for c in calls] == sorted(c["seconds"] for c in calls)
    assert all(c["time"].endswith("+00:00") for c in calls)
    assert len(admin(running, "GET", "/log?changed=true&method=POST")["calls"]) == 2
    assert len(admin(running, "GET", f"/log?ticket={ticket_id}&path=notes")["calls"]) == 1
    assert admin(running, "GET", "/log?ticket=other")["calls"] == []


def test_a_technician_s_edit_changes_any_ticket_and_moves_its_time(running: RunningSimulator) -> None:
    ticket = running.simulator.add_ticket("S", "before", status="Closed", created=1000)
    given = {"description": "<p>after</p><script></script>", "status": "In Progress", "group": "A New Group"}
    shown = admin(running, "POST", "/edit", {"ticket_id": ticket.ticket_id, **given, "resolution": "solved"})
    read = ask(running, "GET", f"/requests/{ticket.ticket_id}")["request"]
    assert read == shown["request"]
    assert (read["description"], read["status"]["name"]) == ("<p>after</p>", "In Progress")
    assert (read["group"]["name"], read["resolution"]["content"]) == ("A New Group", "solved")
    assert int(read["last_updated_time"]["value"]) > 1000
    # Somebody's edit is no call of the API.
    assert [c["method"] for c in admin(running, "GET", "/log")["calls"]] == ["GET"]
    assert admin(running, "POST", "/edit", {"ticket_id": "404"})["response_status"]["status"] == "failed"
    assert "errors" in admin(running, "POST", "/edit", {"ticket_id": "1", "colour": "red"})


def test_tickets_can_be_added_and_deleted(running: RunningSimulator) -> None:
    added = admin(running, "POST", "/tickets", {"subject": "S", "priority": "Urgent"})["request"]
    assert added["priority"]["name"] == "Urgent"
    assert admin(running, "DELETE", f"/tickets/{added['id']}") == {"deleted": added["id"]}
    assert ask(running, "GET", f"/requests/{added['id']}")["response_status"]["status"] == "failed"


def test_held_back_tickets_come_when_asked_for(running: RunningSimulator) -> None:
    assert ask(running, "GET", "/requests")["requests"] == []
    first = admin(running, "POST", "/new_tickets", {"count": 1})
    (ticket,) = first["tickets"]
    assert (ticket["subject"], ticket["description"], ticket["priority"]) == ("First", "one", "High")
    assert (ticket["source_id"], ticket["expected_ticket"], first["held"]) == ("n1", "9", 1)
    assert ask(running, "GET", f"/requests/{ticket['ticket_id']}")["request"]["subject"] == "First"
    assert [t["subject"] for t in admin(running, "POST", "/new_tickets", {"count": 9})["tickets"]] == [
        "Second"
    ]
    assert admin(running, "GET", "/new_tickets") == {"held": 0}


def test_a_reset_puts_everything_or_a_part_back(running: RunningSimulator) -> None:
    admin(running, "POST", "/new_tickets", {"count": 2})
    admin(running, "POST", "/faults", {"kind": "reset"})
    running.simulator.journal.begin(0.0, "GET", "/", None)
    admin(running, "POST", "/reset", {"parts": ["faults"]})
    assert len(ask(running, "GET", "/requests")["requests"]) == 2
    admin(running, "POST", "/reset")
    assert admin(running, "GET", "/log")["calls"] == []
    assert admin(running, "GET", "/new_tickets") == {"held": 2}
    assert ask(running, "GET", "/requests")["requests"] == []


def test_options_can_be_changed_while_it_runs(running: RunningSimulator) -> None:
    running.simulator.add_asset(Asset("1", "srv", ("srv",), ("10.0.0.1",)))
    assert "asset_servers" in ask(running, "GET", "/asset_servers")
    assert admin(running, "PUT", "/options", {"build_number": 14000})["build_number"] == 14000
    assert "assets" in ask(running, "GET", "/assets")
    assert "asset_servers" not in ask(running, "GET", "/asset_servers")
    admin(running, "PUT", "/options", {"calls_per_minute": 0})
    assert "maximum access limit" in str(ask(running, "GET", "/assets"))
    shown = admin(running, "PUT", "/options", {"calls_per_minute": None, "delay_seconds": 0.01})
    assert (shown["calls_per_minute"], shown["delay_seconds"]) == (None, 0.01)
    assert "assets" in ask(running, "GET", "/assets")


def test_a_delay_holds_up_every_call(running: RunningSimulator) -> None:
    admin(running, "PUT", "/options", {"delay_seconds": 5})
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{running.url}/api/v3/requests", timeout=0.1)
    assert len(admin(running, "GET", "/log")["calls"]) == 1


class Receiver:
    """A loopback HTTP server that keeps what it is sent and answers with a status of the test's choice."""

    def __init__(self) -> None:
        self.received: Queue[tuple[dict[str, str], dict[str, Any]]] = Queue()
        self.status = 202
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.put(({k.lower(): v for k, v in self.headers.items()}, json.loads(body)))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhook/servicedesk"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


def test_webhooks_tell_of_creation_and_edits_once(running: RunningSimulator, receiver: Receiver) -> None:
    target = {"url": receiver.url, "secret": "s3cret", "headers": {"X-Tenant-ID": "acme"}}
    shown = admin(running, "PUT", "/webhook", target)
    assert "s3cret" not in json.dumps(shown)
    receiver.status = 500
    ticket_id = ask(running, "POST", "/requests", {"request": {"subject": "S"}})["request"]["id"]
    headers, body = receiver.received.get(timeout=10)
    assert (headers["x-servicedesk-token"], headers["x-tenant-id"]) == ("s3cret", "acme")
    assert (body["event"], body["ticket_id"], body["subject"]) == ("created", ticket_id, "S")

    receiver.status = 202
    ask(running, "PUT", f"/requests/{ticket_id}", {"request": {"description": "by the API"}})
    assert receiver.received.get(timeout=10)[1]["description"] == "by the API"
    admin(running, "POST", "/edit", {"ticket_id": ticket_id, "description": "by a technician"})
    assert receiver.received.get(timeout=10)[1]["description"] == "by a technician"

    admin(running, "POST", "/new_tickets", {"announce": False})
    admin(running, "POST", "/new_tickets")
    assert receiver.received.get(timeout=10)[1]["subject"] == "Second"
    running.simulator.close()
    # The failed one was not sent again, and the ticket that was not to be announced was not.
    assert receiver.received.empty()
    deliveries = admin(running, "GET", "/webhook")["deliveries"]
    assert [d["status"] for d in deliveries] == [500, 202, 202, 202]


def test_notes_are_no_edits_and_events_can_be_chosen(running: RunningSimulator, receiver: Receiver) -> None:
    running.simulator.webhooks.target = WebhookTarget(
        url=receiver.url, secret=SecretStr("x"), events=("created",)
    )
    ticket = running.simulator.add_ticket("S")
    assert receiver.received.get(timeout=10)[1]["ticket_id"] == ticket.ticket_id
    ask(running, "POST", f"/requests/{ticket.ticket_id}/notes", {"note": {"description": "n"}})
    running.simulator.edit_ticket(ticket.ticket_id, subject="T")
    last = running.simulator.add_ticket("last")
    assert receiver.received.get(timeout=10)[1]["ticket_id"] == last.ticket_id
    # Waits for what is under way, and that would be the earlier ones.
    running.simulator.close()
    assert receiver.received.empty()


def test_a_receiver_that_is_not_there_costs_nothing_but_the_webhook(
    running: RunningSimulator, port: int
) -> None:
    admin(running, "PUT", "/webhook", {"url": f"http://127.0.0.1:{port}/"})
    assert ask(running, "POST", "/requests", {"request": {"subject": "S"}})["request"]["id"]
    running.simulator.close()
    (delivery,) = admin(running, "GET", "/webhook")["deliveries"]
    assert (delivery["status"], delivery["error"]) == (None, "ConnectError")
    admin(running, "DELETE", "/webhook")
    ask(running, "POST", "/requests", {"request": {"subject": "T"}})
    assert len(admin(running, "GET", "/webhook")["deliveries"]) == 1
