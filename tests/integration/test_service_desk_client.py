"""The verbs of the service desk against a real HTTP server: what is sent, and what is made of the answers."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from enhancer_dagster.adapters.service_desk import ServiceDeskConnector
from enhancer_dagster.adapters.service_desk.client import ServiceDeskPlus
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import (
    ConfigurationError,
    DeadlineExceededError,
    ServiceDeskRefusedError,
    ServiceDeskUnauthorizedError,
    TicketNotFoundError,
    WriteOutcomeUnknownError,
)
from enhancer_dagster.domain.ports import ServiceDesk, ServiceDesks, TicketQuery
from tests.factories import ON_LOOPBACK
from tests.service_desk_server import (
    KEY,
    MemoryStore,
    Reply,
    ScriptedServer,
    cloud_tenant,
    not_found,
    ok,
    onprem_tenant,
    record,
    refused,
    rows,
    scripted_server,
)

CLOUD_API = "/app/itdesk/api/v3"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as script:
        script.on(
            "POST", "/oauth/v2/token", Reply(200, {"access_token": "1000.fresh.token", "expires_in": 3600})
        )
        yield script


@pytest.fixture
def connector() -> ServiceDeskConnector:
    return ServiceDeskConnector(tokens=MemoryStore(), destinations=ON_LOOPBACK)


@pytest.fixture
def desk(server: ScriptedServer, connector: ServiceDeskConnector) -> ServiceDeskPlus:
    return connector.connect(onprem_tenant(server.url))


@pytest.fixture
def cloud_desk(server: ScriptedServer, connector: ServiceDeskConnector) -> ServiceDeskPlus:
    return connector.connect(cloud_tenant(server.url))


@pytest.fixture
def deadline() -> Deadline:
    return Deadline.after(30)


def test_it_fits_the_ports(connector: ServiceDeskConnector, desk: ServiceDeskPlus) -> None:
    desks: ServiceDesks = connector
    one: ServiceDesk = desk
    assert desks is not None
    assert one is not None


def test_every_call_on_premises_carries_key_version_and_correlation_id(
    server: ScriptedServer, connector: ServiceDeskConnector, deadline: Deadline
) -> None:
    server.on("GET", "requests/42", record("request", id="42"))
    correlation_id = uuid4()
    connector.connect(onprem_tenant(server.url), correlation_id).ticket("42", deadline)
    headers = server.seen[0].headers
    assert headers["authtoken"] == KEY
    assert headers["accept"] == "application/vnd.manageengine.sdp.v3+json"
    assert headers["x-correlation-id"] == str(correlation_id)
    assert "technician_key" not in headers


def test_an_old_build_gets_the_key_in_its_own_header(
    server: ScriptedServer, connector: ServiceDeskConnector, deadline: Deadline
) -> None:
    server.on("GET", "requests/42", record("request", id="42"))
    connector.connect(onprem_tenant(server.url, legacy_key_header=True)).ticket("42", deadline)
    assert server.seen[0].headers["technician_key"] == KEY
    assert "authtoken" not in server.seen[0].headers


def test_a_cloud_call_carries_an_oauth_token(
    server: ScriptedServer, cloud_desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", f"{CLOUD_API}/requests/42", record("request", id="42", status={"in_progress": True}))
    assert cloud_desk.ticket("42", deadline).is_open
    refresh, call = server.seen
    assert refresh.form["grant_type"] == "refresh_token"
    assert refresh.form["refresh_token"] == "1000.the-refresh-token"
    assert refresh.query == {}
    assert call.headers["authorization"] == "Zoho-oauthtoken 1000.fresh.token"


def test_connections_are_kept_and_cookies_are_not(
    server: ScriptedServer, connector: ServiceDeskConnector, deadline: Deadline
) -> None:
    answer = record("request", id="42")
    answer.headers = {"Set-Cookie": "JSESSIONID=abc; Path=/"}
    server.on("GET", "requests/42", answer)
    connector.connect(onprem_tenant(server.url)).ticket("42", deadline)
    connector.connect(onprem_tenant(server.url)).ticket("42", deadline)
    first, second = server.seen
    assert first.client_port == second.client_port
    assert "cookie" not in second.headers


def test_an_open_ticket_takes_one_call(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", "requests/42", record("request", id="42", status={"name": "Open"}, resolution=None))
    assert desk.ticket("42", deadline).resolution is None
    assert len(server.seen) == 1


def test_a_resolution_that_the_ticket_leaves_out_is_asked_for(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", "requests/42", record("request", id="42", status={"name": "Closed"}, resolution=None))
    server.on("GET", "requests/42/resolutions", record("resolution", content="<p>Restarted</p>"))
    assert desk.ticket("42", deadline).resolution == "<p>Restarted</p>"


def test_a_closed_ticket_may_have_no_resolution_at_all(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", "requests/42", record("request", id="42", status={"name": "Closed"}))
    server.on("GET", "requests/42/resolutions", not_found())
    assert desk.ticket("42", deadline).resolution is None


def test_a_trashed_ticket_is_not_there(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", "requests/42", record("request", id="42", is_trashed=True))
    with pytest.raises(TicketNotFoundError, match="trash"):
        desk.ticket("42", deadline)


def test_a_missing_ticket_is_named(desk: ServiceDeskPlus, deadline: Deadline) -> None:
    for call in (
        lambda: desk.ticket("42", deadline),
        lambda: desk.replace_description("42", "x", deadline),
        lambda: desk.notes("42", deadline),
        lambda: desk.add_note("42", "x", deadline),
    ):
        with pytest.raises(TicketNotFoundError, match="ticket 42"):
            call()


@pytest.mark.parametrize("ticket_id", ["..", ".", "a/b", "1?x=1", "", "4%2F2"])
def test_an_id_cannot_lead_to_another_address(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline, ticket_id: str
) -> None:
    with pytest.raises(ServiceDeskRefusedError):
        desk.ticket(ticket_id, deadline)
    assert server.seen == []


def test_a_description_is_replaced_by_one_form_field(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("PUT", "requests/42", record("request", id="42"))
    html = "<p>ünïcode & more=1</p>"
    desk.replace_description("42", html, deadline)
    (call,) = server.seen
    assert call.input_data == {"request": {"description": html}}
    assert list(call.form) == ["input_data"]
    assert call.query == {}
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "transfer-encoding" not in call.headers


def test_notes_of_an_on_premises_list_are_fetched_one_by_one(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    first = rows("notes", {"id": "1"}, {"id": "2"}, has_more=True)
    server.on("GET", "requests/42/notes", first, rows("notes", {"id": "3", "description": "listed"}))
    server.on("GET", "requests/42/notes/1", record("note", id="1", description="one", show_to_requester=True))
    notes = desk.notes("42", deadline)
    # Note 2 was deleted between the list and its own call.
    assert [(note.note_id, note.description) for note in notes] == [("1", "one"), ("3", "listed")]
    assert notes[0].shown_to_requester
    second_page = server.calls("GET", "requests/42/notes")[1]
    assert second_page.input_data["list_info"]["start_index"] == 3


def test_a_note_that_is_not_there_is_none(desk: ServiceDeskPlus, deadline: Deadline) -> None:
    assert desk.note("42", "7", deadline) is None


def test_a_single_answer_without_text_is_an_empty_text(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", "requests/42/notes/7", record("note", id="7", description=None))
    server.on("GET", "solutions/5", record("solution", id="5", title="VPN"))
    note = desk.note("42", "7", deadline)
    assert note is not None
    assert note.description == ""
    assert desk.article("5", deadline).content == ""


def test_a_note_is_added_for_technicians_only(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    added = record("note", id="337", description="x")
    added.status = 201
    server.on("POST", "requests/42/notes", added)
    assert desk.add_note("42", "<p>x</p>", deadline) == "337"
    assert server.seen[0].input_data == {"note": {"description": "<p>x</p>", "show_to_requester": False}}


def test_the_cloud_calls_a_note_a_request_note(
    server: ScriptedServer, cloud_desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    path = f"{CLOUD_API}/requests/42/notes"
    server.on("POST", path, record("request_note", id="123640000000244019"))
    server.on("PUT", f"{path}/123640000000244019", ok())
    server.on("GET", f"{path}/123640000000244019", record("request_note", id="9", description="text"))
    note_id = cloud_desk.add_note("42", "x", deadline)
    cloud_desk.replace_note("42", note_id, "y", deadline)
    note = cloud_desk.note("42", note_id, deadline)
    assert note is not None
    assert note.description == "text"
    writes = [seen.input_data for seen in server.seen if seen.method in ("POST", "PUT")][1:]
    assert [list(write) for write in writes] == [["request_note"], ["request_note"]]
    assert writes[1]["request_note"] == {"description": "y", "show_to_requester": False}


def test_an_added_note_without_an_id_may_be_there_or_not(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("POST", "requests/42/notes", ok())
    with pytest.raises(WriteOutcomeUnknownError):
        desk.add_note("42", "x", deadline)


def test_tickets_come_in_pages_without_text(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    page = rows("requests", {"id": "1", "subject": "a"}, {"id": "2"}, has_more=True)
    server.on("GET", "requests", page, rows("requests", {"id": "3"}))
    query = TicketQuery(updated_since=NOON, start_index=101)
    found = desk.tickets(query, deadline)
    assert [ticket.ticket_id for ticket in found.rows] == ["1", "2"]
    assert found.rows[0].description is None
    assert found.next_index == 103
    assert desk.tickets(query, deadline).next_index is None
    assert server.seen[0].form == {}
    assert server.seen[0].input_data["list_info"]["start_index"] == 101


def test_an_empty_page_ends_a_list_whatever_it_says(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", "requests", rows("requests", has_more=True))
    server.on("GET", "solutions", rows("solutions", has_more=True))
    assert desk.tickets(TicketQuery(), deadline).next_index is None
    assert desk.articles(1, None, deadline).next_index is None


def test_articles(server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline) -> None:
    server.on("GET", "solutions", rows("solutions", {"id": "5", "title": "VPN"}, has_more=True))
    server.on("GET", "solutions/5", record("solution", id="5", title="VPN", description="<p>Use it</p>"))
    found = desk.articles(1, NOON, deadline)
    assert found.rows[0].content is None
    assert found.next_index == 2
    assert server.seen[0].input_data["list_info"]["search_criteria"][0]["field"] == "last_updated_time"
    assert desk.article("5", deadline).content == "<p>Use it</p>"
    with pytest.raises(ServiceDeskRefusedError, match="solution 6"):
        desk.article("6", deadline)


def all_assets(desk: ServiceDeskPlus, deadline: Deadline) -> list[str]:
    found, start_index = [], 1
    while start_index is not None:
        page = desk.assets(start_index, deadline)
        found += [asset.asset_id for asset in page.rows]
        start_index = page.next_index
    return found


def test_assets_of_a_build_with_the_old_form(
    server: ScriptedServer, connector: ServiceDeskConnector, deadline: Deadline
) -> None:
    server.on("GET", "assets", rows("assets", {"id": "1"}, has_more=True), rows("assets", {"id": "2"}))
    server.on("GET", "workstations", rows("workstations", {"id": "2", "ip_addresses": "10.0.0.2"}))
    assert all_assets(connector.connect(onprem_tenant(server.url)), deadline) == ["1", "2", "2"]
    starts = [seen.input_data["list_info"]["start_index"] for seen in server.calls("GET", "/assets")]
    assert starts == [1, 2]
    # The next client of this tenant knows the form already.
    connector.connect(onprem_tenant(server.url)).assets(1, deadline)
    assert len(server.calls("GET", "asset_assets")) == 1


def test_assets_of_a_build_with_the_new_form(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", "asset_assets", rows("asset_assets", {"id": "1"}, {"id": "2"}))
    server.on("GET", "asset_servers", rows("asset_servers", {"id": "2", "primary_ip": "10.0.0.2"}))
    # Kinds that this build does not have are passed over.
    assert all_assets(desk, deadline) == ["1", "2", "2"]
    assert server.calls("GET", "/assets") == []


def test_a_key_that_may_not_read_assets_says_so(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", "asset_assets", refused(403, 4002, "User does not have this permission"))
    with pytest.raises(ServiceDeskUnauthorizedError, match="permission"):
        desk.assets(1, deadline)


@pytest.mark.parametrize(
    "lacking", ["api_key", "client_id", "client_secret", "refresh_token", "accounts_url"]
)
def test_a_tenant_without_credentials_is_told_which(connector: ServiceDeskConnector, lacking: str) -> None:
    make = onprem_tenant if lacking == "api_key" else cloud_tenant
    with pytest.raises(ConfigurationError, match=lacking):
        connector.connect(make("http://127.0.0.1:1", **{lacking: None}))


def test_plain_http_must_be_allowed() -> None:
    connector = ServiceDeskConnector(tokens=MemoryStore())
    with pytest.raises(ConfigurationError, match="http://"):
        connector.connect(onprem_tenant("http://desk.example.org"))
    with pytest.raises(ConfigurationError, match="http://"):
        connector.connect(
            cloud_tenant("https://desk.example.org", accounts_url="http://accounts.example.org")
        )
    connector.connect(onprem_tenant("https://desk.example.org:8443/sdp/"))


def test_a_deadline_that_has_passed_sends_nothing(server: ScriptedServer, desk: ServiceDeskPlus) -> None:
    with pytest.raises(DeadlineExceededError, match="requests/42"):
        desk.ticket("42", Deadline.after(-1))
    assert server.seen == []


FORKING = """
import os, sys, threading
from enhancer_dagster.adapters.service_desk import ServiceDeskConnector
from enhancer_dagster.domain.deadlines import Deadline
from tests.factories import ON_LOOPBACK
from tests.service_desk_server import MemoryStore, onprem_tenant

connector = ServiceDeskConnector(tokens=MemoryStore(), destinations=ON_LOOPBACK)
desk = connector.connect(onprem_tenant(sys.argv[1]))
assert threading.active_count() == 1, "connecting started a thread"
if sys.argv[2] == "after a call":
    desk.ticket("42", Deadline.after(20))
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        desk.ticket("42", Deadline.after(20))
        os._exit(0)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.parametrize("when", ["before any call", "after a call"])
def test_each_forked_process_has_connections_of_its_own(server: ScriptedServer, when: str) -> None:
    server.on("GET", "requests/42", record("request", id="42"))
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", FORKING, server.url, when], cwd=root, check=True, timeout=60)
    ports = [seen.client_port for seen in server.seen]
    assert len(ports) == len(set(ports)) >= 2
