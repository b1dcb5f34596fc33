"""The client held to recorded answers of real ServiceDesk Plus installations, each served with its status."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enhancer_dagster.adapters.service_desk import ServiceDeskConnector
from enhancer_dagster.adapters.service_desk.client import ServiceDeskPlus
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import (
    EnhancerError,
    ServiceDeskRefusedError,
    ServiceDeskUnauthorizedError,
    TicketNotFoundError,
)
from enhancer_dagster.domain.ports import TicketQuery
from tests.factories import ON_LOOPBACK
from tests.service_desk_server import (
    MemoryStore,
    Reply,
    ScriptedServer,
    cloud_tenant,
    not_found,
    onprem_tenant,
    scripted_server,
)

API = {"onprem_rapid7": "/api/v3", "cloud_demisto": "/app/itdesk/api/v3", "errors_quoted": "/api/v3"}
STATUSES = {
    201: ("add_request", "add_request_note", "add_resolution", "close_request"),
    400: (
        "add_request_incorrect_level",
        "close_request_request_already_closed",
        "delete_request_request_already_deleted",
        "get_list_request_invalid_sort_field",
    ),
    403: ("no_permission_403_jeppevinkel",),
    404: ("request_not_found", "note_not_found", "invalid_url_404_jeppevinkel"),
}
REFUSALS: dict[str, tuple[type[EnhancerError], str]] = {
    "add_request_incorrect_level": (ServiceDeskRefusedError, "Invalid Input (field: level) [4001]"),
    "close_request_request_already_closed": (ServiceDeskRefusedError, "Request is already closed [4001]"),
    "delete_request_request_already_deleted": (ServiceDeskRefusedError, "Already in trash [4016]"),
    "get_list_request_invalid_sort_field": (ServiceDeskRefusedError, "Invalid Input (field: sort_field)"),
    "request_not_found": (TicketNotFoundError, "ticket 42"),
    "note_not_found": (TicketNotFoundError, "ticket 42"),
    "invalid_url_404_jeppevinkel": (TicketNotFoundError, "ticket 42"),
    "no_permission_403_jeppevinkel": (
        ServiceDeskUnauthorizedError,
        "User does not have this permission [4002]",
    ),
    "warning_http200_mandatory_missing_demisto_pr44548": (
        ServiceDeskRefusedError,
        "(field: technician, resolution) [4003]",
    ),
}

Play = Callable[..., ServiceDeskPlus]


@pytest.fixture
def recordings(shared: Path) -> Path:
    return shared / "fixtures" / "servicedesk"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as script:
        script.on("POST", "/oauth/v2/token", Reply(200, {"access_token": "t", "expires_in": 3600}))
        yield script


@pytest.fixture
def play(recordings: Path, server: ScriptedServer) -> Play:
    """Serve a recording as the answer to a call, and give the client that will make it."""

    def serve(file: str, method: str, path: str) -> ServiceDeskPlus:
        folder, _, name = file.partition("/")
        status = next((status for status, names in STATUSES.items() if name in names), 200)
        body = (recordings / folder / f"{name}.json").read_bytes()
        server.on(method, f"{API[folder]}/{path}", Reply(status, body))
        connector = ServiceDeskConnector(tokens=MemoryStore(), destinations=ON_LOOPBACK)
        return connector.connect(
            cloud_tenant(server.url) if folder == "cloud_demisto" else onprem_tenant(server.url)
        )

    return serve


@pytest.fixture
def deadline() -> Deadline:
    return Deadline.after(30)


def utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def test_every_recorded_answer_is_understood_as_success_or_refusal(
    recordings: Path, play: Play, deadline: Deadline
) -> None:
    files = [path for folder in API for path in sorted((recordings / folder).glob("*.json"))]
    answers = [path for path in files if path.stem != "response_generate_refresh_token"]
    assert len(answers) >= 33
    assert REFUSALS.keys() <= {path.stem for path in answers}
    for path in answers:
        desk = play(f"{path.parent.name}/{path.stem}", "PUT", "requests/42")
        if path.stem not in REFUSALS:
            desk.replace_description("42", "x", deadline)
            continue
        error, words = REFUSALS[path.stem]
        with pytest.raises(error) as caught:
            desk.replace_description("42", "x", deadline)
        assert words in str(caught.value), path.stem


def test_a_ticket_on_premises(server: ScriptedServer, play: Play, deadline: Deadline) -> None:
    ticket = play("onprem_rapid7/get_request", "GET", "requests/201").ticket("201", deadline)
    assert ticket.ticket_id == "201"
    assert ticket.subject == "Plugin action test add request 2"
    assert ticket.description == "dessssc"
    assert (ticket.status, ticket.is_open, ticket.priority) == ("Open", True, "Normal")
    assert (ticket.group, ticket.site, ticket.template) == ("", "Test Site", "Default Request")
    assert ticket.created_at == utc(1659514299775)
    assert ticket.updated_at == ticket.created_at
    assert ticket.resolution is None
    assert not ticket.has_notes


def test_a_changed_ticket_on_premises(play: Play, deadline: Deadline) -> None:
    ticket = play("onprem_rapid7/edit_request", "GET", "requests/200").ticket("200", deadline)
    assert ticket.updated_at == utc(1660211659292)


def test_a_ticket_in_the_cloud(play: Play, deadline: Deadline) -> None:
    desk = play("cloud_demisto/response_list_single_request", "GET", "requests/123640000000240013")
    ticket = desk.ticket("123640000000240013", deadline)
    assert ticket.ticket_id == "123640000000240013"
    assert ticket.description == "Update the description"
    assert (ticket.status, ticket.is_open, ticket.priority, ticket.group) == ("Open", True, "High", "Network")
    assert ticket.updated_at == utc(1593012464184)


def test_a_ticket_on_hold_in_the_cloud_is_open(play: Play, deadline: Deadline) -> None:
    ticket = play("cloud_demisto/response_create_request", "GET", "requests/1").ticket("1", deadline)
    assert (ticket.status, ticket.is_open) == ("On Hold", True)


def test_a_trashed_ticket_is_not_there(play: Play, deadline: Deadline) -> None:
    with pytest.raises(TicketNotFoundError, match="trash"):
        play("onprem_rapid7/delete_request", "GET", "requests/200").ticket("200", deadline)


@pytest.mark.parametrize(
    ("file", "resolution"),
    [
        ("cloud_demisto/response_resolution_list", "changing resolution from demisto"),
        ("cloud_demisto/response_no_resolution_list", None),
        ("onprem_rapid7/get_resolution", "Get resolution"),
    ],
)
def test_the_resolution_of_an_ended_ticket(
    recordings: Path,
    server: ScriptedServer,
    play: Play,
    deadline: Deadline,
    file: str,
    resolution: str | None,
) -> None:
    single = json.loads((recordings / "cloud_demisto" / "response_list_single_request.json").read_bytes())
    assert single["request"]["resolution"] is None
    single["request"]["status"] |= {"in_progress": False, "internal_name": "Closed", "name": "Closed"}
    server.on("GET", f"{API[file.partition('/')[0]]}/requests/42", Reply(200, single))
    assert play(file, "GET", "requests/42/resolutions").ticket("42", deadline).resolution == resolution


def test_a_list_on_premises(play: Play, deadline: Deadline) -> None:
    page = play("onprem_rapid7/get_list_request", "GET", "requests").tickets(TicketQuery(), deadline)
    assert len(page.rows) == 10
    assert page.next_index == 11
    first = page.rows[0]
    assert (first.ticket_id, first.subject, first.site) == ("98", "Request about monitor", "Test Site")
    assert all(ticket.description is None and ticket.resolution is None for ticket in page.rows)
    assert first.created_at == utc(1660212951312)


def test_lists_in_the_cloud(play: Play, deadline: Deadline) -> None:
    desk = play("cloud_demisto/response_list_multiple_requests", "GET", "requests")
    page = desk.tickets(TicketQuery(start_index=4), deadline)
    assert page.rows[0].ticket_id == "123640000000215007"
    assert page.next_index == 7
    desk = play("cloud_demisto/response_fetch_incidents", "GET", "requests")
    page = desk.tickets(TicketQuery(), deadline)
    assert [ticket.ticket_id for ticket in page.rows] == ["1234", "5678", "0912"]
    assert page.next_index is None


def test_notes_on_premises_get_their_text_one_by_one(
    server: ScriptedServer, play: Play, deadline: Deadline
) -> None:
    play("onprem_rapid7/add_request_note", "GET", "requests/42/notes/332")
    play("onprem_rapid7/edit_request_note", "GET", "requests/42/notes/200")
    notes = play("onprem_rapid7/get_list_request_notes", "GET", "requests/42/notes").notes("42", deadline)
    assert [note.description for note in notes] == [
        "<p>Add request note</p><h1>Hello</h1>",
        "New description edited",
    ]
    assert all(note.shown_to_requester for note in notes)
    assert notes[1].updated_at == utc(1660212744396)


def test_a_note_is_added_changed_or_missing(play: Play, deadline: Deadline) -> None:
    assert (
        play("onprem_rapid7/add_request_note", "POST", "requests/200/notes").add_note("200", "x", deadline)
        == "337"
    )
    desk = play("onprem_rapid7/edit_request_note", "PUT", "requests/200/notes/201")
    desk.replace_note("200", "201", "x", deadline)
    desk = play("onprem_rapid7/note_not_found", "GET", "requests/200/notes/404")
    assert desk.note("200", "404", deadline) is None
    desk = play("onprem_rapid7/note_not_found", "PUT", "requests/200/notes/404")
    with pytest.raises(ServiceDeskRefusedError, match="note 404 of ticket 200"):
        desk.replace_note("200", "404", "x", deadline)


def test_the_recorded_token_answer_logs_in(
    recordings: Path, server: ScriptedServer, play: Play, deadline: Deadline
) -> None:
    answer = (recordings / "cloud_demisto" / "response_generate_refresh_token.json").read_bytes()
    server.on("POST", "/oauth/v2/token", Reply(200, answer))
    play("cloud_demisto/response_list_single_request", "GET", "requests/42").ticket("42", deadline)
    assert server.seen[-1].headers["authorization"] == "Zoho-oauthtoken 123456789"


def test_recorded_workstations(recordings: Path, server: ScriptedServer, deadline: Deadline) -> None:
    items = json.loads(
        (recordings / "assets_nautobot" / "workstations_list_items.redacted.json").read_bytes()
    )
    status = {"status_code": 2000, "status": "success"}
    listed = {"response_status": [status], "list_info": {"has_more_rows": False}}
    server.on("GET", "asset_assets", not_found())
    server.on("GET", "assets", Reply(200, {**listed, "assets": []}))
    server.on("GET", "workstations", Reply(200, {**listed, "workstations": items}))
    desk = ServiceDeskConnector(tokens=MemoryStore(), destinations=ON_LOOPBACK).connect(
        onprem_tenant(server.url)
    )
    second = desk.assets(1, deadline).next_index
    assert second is not None
    page = desk.assets(second, deadline)
    assert page.next_index is None
    assets = {asset.asset_id: asset for asset in page.rows}
    assert len(assets) == len(items) == 12
    server_asset = assets["1003"]
    assert server_asset.addresses == ("192.0.2.18", "192.0.2.19")
    assert server_asset.hostnames == ("SRV-DB-PROD", "srv-db-prod01.example.org")
    assert server_asset.role == "Production database server", "its description says what it is for"
    assert (server_asset.state, server_asset.site) == ("In Use", "ACME HQ")
    nameless = assets["1006"]
    assert (nameless.name, nameless.hostnames, nameless.addresses) == ("", (), ())
    assert nameless.role == ""
