"""The simulator against the recorded answers: asked the same question, it gives the same status and shape."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.options import SimulatorOptions
from enhancer_dagster.simulator.records import Asset
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator

Json = dict[str, Any]


def schema_of(recorded: Any, *, open_objects: bool = False) -> Json:
    """A JSON schema of the keys and value types of `recorded`; where it has null, anything will do.

    Args:
        recorded: A recorded answer.
        open_objects: Whether an answer may have further keys.
    """
    if recorded is None:
        return {}
    if isinstance(recorded, dict):
        return {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {k: schema_of(v, open_objects=open_objects) for k, v in recorded.items()},
                    "required": list(recorded),
                    "additionalProperties": open_objects,
                },
                {"type": "null"},
            ]
        }
    if isinstance(recorded, list):
        items = [schema_of(one, open_objects=open_objects) for one in recorded]
        return {"type": "array", **({"items": {"anyOf": items}} if items else {})}
    names = {bool: "boolean", int: "integer", str: "string", float: "number"}
    return {"type": [names[type(recorded)], "null"]}


def assert_shape(answered: Any, recorded: Any, *, open_objects: bool = False) -> None:
    jsonschema.validate(answered, schema_of(recorded, open_objects=open_objects))


def test_the_comparer_notices_what_it_is_for() -> None:
    recorded = {"a": {"b": "x"}, "rows": [{"id": "1"}], "never": None}
    assert_shape({"a": {"b": "y"}, "rows": [], "never": 3}, recorded)
    for wrong in (
        {"a": {"b": 1}, "rows": [], "never": None},
        {"a": {}, "rows": [], "never": None},
        {"a": {"b": "y", "c": "z"}, "rows": [], "never": None},
        {"a": {"b": "y"}, "rows": [{"id": 1}], "never": None},
        {"a": {"b": "y"}, "rows": []},
    ):
        with pytest.raises(jsonschema.ValidationError):
            assert_shape(wrong, recorded)


@dataclass(frozen=True)
class Desk:
    """A running simulator, a client of it and the recordings of its edition."""

    running: RunningSimulator
    client: httpx.Client
    recordings: Path

    def ask(self, method: str, path: str, input_data: Json | None = None) -> httpx.Response:
        field = {} if input_data is None else {"input_data": json.dumps(input_data)}
        if method == "GET":
            return self.client.get(path, params=field)
        return self.client.request(method, path, data=field)

    def recorded(self, name: str) -> Any:
        return json.loads((self.recordings / f"{name}.json").read_text())

    def new_ticket(self, site: str = "") -> str:
        return self.running.simulator.add_ticket("Monitor needed", "Required for user", site=site).ticket_id


@pytest.fixture
def onprem(shared: Path) -> Iterator[Desk]:
    with (
        running_simulator() as running,
        httpx.Client(base_url=f"{running.url}/api/v3", headers={"authtoken": "simulator"}) as client,
    ):
        yield Desk(running, client, shared / "fixtures/servicedesk/onprem_rapid7")


@pytest.fixture
def cloud(shared: Path) -> Iterator[Desk]:
    simulator = Simulator(SimulatorOptions(edition=Edition.CLOUD, api_key="refresh"))
    token = simulator.tokens.issue(3600)
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    with (
        running_simulator(simulator) as running,
        httpx.Client(base_url=f"{running.url}/api/v3", headers=headers) as client,
    ):
        yield Desk(running, client, shared / "fixtures/servicedesk/cloud_demisto")


MANY_FIELDS = {
    "subject": "Plugin action test add request 2",
    "description": "dessssc",
    "requester": {"id": "4", "name": "administrator"},
    "assets": [{"name": "keyboardMC", "id": "301"}],
    "category": {"name": "Software"},
    "subcategory": {"name": "MS Office"},
    "email_ids_to_notify": ["user@example.com"],
    "impact": {"id": "2"},
    "level": {"name": "Tier 4"},
    "mode": {"name": "Web Form"},
    "priority": {"id": "1"},
    "request_type": {"name": "Incident"},
    "service_category": {"name": "User Management"},
    "site": {"name": "Test Site"},
    "status": {"id": "2"},
    "technician": {"name": "administrator"},
    "urgency": {"name": "Urgent"},
}


def test_a_request_added_with_many_fields(onprem: Desk) -> None:
    answer = onprem.ask("POST", "/requests", {"request": MANY_FIELDS})
    recorded = onprem.recorded("add_request")
    assert answer.status_code == 201
    assert_shape(answer.json(), recorded)
    for field in ("level", "mode", "priority", "site", "status", "urgency", "category", "subcategory"):
        assert answer.json()["request"][field] == recorded["request"][field]


def test_a_single_request(onprem: Desk) -> None:
    added = onprem.ask("POST", "/requests", {"request": MANY_FIELDS}).json()["request"]["id"]
    answer = onprem.ask("GET", f"/requests/{added}")
    assert answer.status_code == 200
    assert_shape(answer.json(), onprem.recorded("get_request"))


def test_an_edited_request(onprem: Desk) -> None:
    added = onprem.ask("POST", "/requests", {"request": MANY_FIELDS}).json()["request"]["id"]
    answer = onprem.ask("PUT", f"/requests/{added}", {"request": {"subject": "Edit request"}})
    assert answer.status_code == 200
    assert_shape(answer.json(), onprem.recorded("edit_request"))
    assert answer.json()["request"]["last_updated_time"] is not None


def test_a_request_moved_to_the_trash_once_and_twice(onprem: Desk) -> None:
    ticket_id = onprem.new_ticket()
    answer = onprem.ask("DELETE", f"/requests/{ticket_id}/move_to_trash")
    assert answer.status_code == 200
    assert_shape(answer.json(), onprem.recorded("delete_request"))
    assert answer.json()["request"]["is_trashed"] is True
    again = onprem.ask("DELETE", f"/requests/{ticket_id}/move_to_trash")
    assert again.status_code == 400
    assert again.json() == onprem.recorded("delete_request_request_already_deleted")


def test_a_list_of_requests(onprem: Desk) -> None:
    for _ in range(11):
        onprem.new_ticket(site="Test Site")
    answer = onprem.ask("GET", "/requests")
    recorded = onprem.recorded("get_list_request")
    assert answer.status_code == 200
    assert_shape(answer.json(), recorded)
    assert answer.json()["list_info"] == recorded["list_info"]
    assert answer.json()["requests"][0]["short_description"] == recorded["requests"][0]["short_description"]


@pytest.mark.parametrize(
    ("method", "path", "input_data", "status", "recording"),
    [
        ("PUT", "assign", {"request": {"group": {"name": "Network"}}}, 200, "assign_request"),
        ("PUT", "pickup", None, 200, "pickup_request"),
        ("PUT", "close", {"request": {"closure_info": {}}}, 200, "close_request"),
        ("POST", "resolutions", {"resolution": {"content": "Add resolution"}}, 201, "add_resolution"),
    ],
)
def test_sentences_of_success(
    onprem: Desk, method: str, path: str, input_data: Json | None, status: int, recording: str
) -> None:
    answer = onprem.ask(method, f"/requests/{onprem.new_ticket()}/{path}", input_data)
    assert (answer.status_code, answer.json()) == (status, onprem.recorded(recording))


def test_refusals(onprem: Desk) -> None:
    ticket_id = onprem.new_ticket()
    onprem.ask("PUT", f"/requests/{ticket_id}/close")
    wrong_level = {"request": {"subject": "Add invalid request", "level": {"name": "Tier 99"}}}
    wrong_sort = {"list_info": {"sort_field": "no_such_field"}}
    asked = {
        "add_request_incorrect_level": (400, onprem.ask("POST", "/requests", wrong_level)),
        "get_list_request_invalid_sort_field": (400, onprem.ask("GET", "/requests", wrong_sort)),
        "close_request_request_already_closed": (400, onprem.ask("PUT", f"/requests/{ticket_id}/close")),
        "request_not_found": (404, onprem.ask("GET", "/requests/404404")),
        "note_not_found": (404, onprem.ask("GET", f"/requests/{ticket_id}/notes/404404")),
    }
    for recording, (status, answer) in asked.items():
        assert (answer.status_code, answer.json()) == (status, onprem.recorded(recording)), recording


def test_notes(onprem: Desk) -> None:
    ticket_id = onprem.new_ticket()
    text = "<p>Add request note</p><h1>Hello</h1>"
    added = onprem.ask(
        "POST", f"/requests/{ticket_id}/notes", {"note": {"description": text, "show_to_requester": True}}
    )
    assert added.status_code == 201
    assert_shape(added.json(), onprem.recorded("add_request_note"))
    assert added.json()["note"]["description"] == onprem.recorded("add_request_note")["note"]["description"]

    note = f"/requests/{ticket_id}/notes/{added.json()['note']['id']}"
    edited = onprem.ask("PUT", note, {"note": {"description": "New description edited"}})
    assert edited.status_code == 200
    assert_shape(edited.json(), onprem.recorded("edit_request_note"))

    onprem.ask("POST", f"/requests/{ticket_id}/notes", {"note": {"description": "second"}})
    listed = onprem.ask("GET", f"/requests/{ticket_id}/notes")
    recorded = onprem.recorded("get_list_request_notes")
    assert listed.status_code == 200
    assert_shape(listed.json(), recorded)
    assert listed.json()["list_info"] == recorded["list_info"]
    assert len(listed.json()["notes"]) == 2

    deleted = onprem.ask("DELETE", note)
    assert (deleted.status_code, deleted.json()) == (200, onprem.recorded("delete_request_note"))


def test_a_resolution(onprem: Desk) -> None:
    ticket_id = onprem.new_ticket()
    onprem.ask("POST", f"/requests/{ticket_id}/resolutions", {"resolution": {"content": "Get resolution"}})
    answer = onprem.ask("GET", f"/requests/{ticket_id}/resolutions")
    assert answer.status_code == 200
    assert_shape(answer.json(), onprem.recorded("get_resolution"))
    assert answer.json()["resolution"]["content"] == "Get resolution"


def test_the_quoted_errors(onprem: Desk, shared: Path) -> None:
    quoted = shared / "fixtures/servicedesk/errors_quoted"
    ticket_id = onprem.new_ticket()
    path = f"/requests/{ticket_id}"
    asked = {
        "invalid_url_404_jeppevinkel": (404, {"X-Simulate": "status=404"}),
        "no_permission_403_jeppevinkel": (403, {"X-Simulate": "status=403"}),
        "warning_http200_mandatory_missing_demisto_pr44548": (200, {"X-Simulate": "warning"}),
    }
    for name, (status, headers) in asked.items():
        answer = onprem.client.put(path, headers=headers)
        recorded = json.loads((quoted / f"{name}.json").read_text())
        assert (answer.status_code, answer.json()) == (status, recorded), name


def test_workstations_of_old_builds(onprem: Desk, shared: Path) -> None:
    folder = shared / "fixtures/servicedesk/assets_nautobot"
    recorded = json.loads((folder / "workstations_list_items.redacted.json").read_text())
    whole = next(item for item in recorded if "ip_addresses" in item)
    whole["udf_fields"] = {}
    simulator = Simulator(SimulatorOptions(build_number=14300))
    hosts, addresses = ("srv-db-prod01.example.org",), ("192.0.2.18",)
    simulator.add_asset(Asset("1003", "SRV-DB-PROD", hosts, addresses, "database", site="ACME HQ"))
    simulator.add_asset(Asset("1004", "HP-SPARE-01", product_type="Desktop"))
    with running_simulator(simulator) as running:
        answer = httpx.get(f"{running.url}/api/v3/workstations", headers={"authtoken": "simulator"})
    server, spare = answer.json()["workstations"]
    assert answer.status_code == 200
    assert_shape(server, whole, open_objects=True)
    assert server["ip_addresses"] == whole["ip_addresses"]
    assert server["udf_fields"] == {"udf_sline_14115": "srv-db-prod01.example.org"}
    assert "ip_addresses" not in spare


CLOUD_FIELDS = {
    "subject": "Create request test",
    "description": "The description of the request",
    "requester": {"name": "First Last"},
    "mode": {"name": "E-Mail"},
    "group": {"name": "Network"},
    "level": {"name": "Tier 1"},
    "impact": {"name": "Affects Group"},
    "priority": {"name": "High"},
    "status": {"name": "On Hold"},
    "urgency": {"name": "Normal"},
}


def test_a_cloud_request_created_and_updated(cloud: Desk) -> None:
    created = cloud.ask("POST", "/requests", {"request": CLOUD_FIELDS})
    recorded = cloud.recorded("response_create_request")
    assert created.status_code == 201
    assert_shape(created.json(), recorded)
    for field in ("status", "group", "priority", "level", "mode", "template", "urgency", "impact"):
        assert created.json()["request"][field] == recorded["request"][field]

    path = f"/requests/{created.json()['request']['id']}"
    change = {"status": {"name": "Open"}, "impact": {"name": "Affects Business"}}
    updated = cloud.ask("PUT", path, {"request": {**change, "description": "Update the description"}})
    assert updated.status_code == 200
    assert_shape(updated.json(), cloud.recorded("response_update_request"))
    assert_shape(cloud.ask("GET", path).json(), cloud.recorded("response_list_single_request"))
    assert len(created.json()["request"]["id"]) == 18


def test_a_cloud_list(cloud: Desk) -> None:
    for _ in range(4):
        ticket_id = cloud.new_ticket()
        cloud.ask("PUT", f"/requests/{ticket_id}", {"request": {"technician": {"name": "First Last"}}})
    answer = cloud.ask("GET", "/requests", {"list_info": {"row_count": 3}})
    recorded = cloud.recorded("response_list_multiple_requests")
    assert answer.status_code == 200
    assert_shape(answer.json(), recorded)
    assert answer.json()["list_info"] == recorded["list_info"]


def test_a_cloud_list_by_time_echoes_what_it_searched(cloud: Desk) -> None:
    simulator = cloud.running.simulator
    for created in (1592918317168, 1592918445273, 1592979595354, 1600000000000):
        simulator.add_ticket("new request for demo", group="Network", created=created)
    recorded = cloud.recorded("response_fetch_incidents")
    criteria = recorded["list_info"]["search_criteria"]
    asked = {"search_criteria": criteria, "sort_field": "created_time", "sort_order": "asc"}
    answer = cloud.ask("GET", "/requests", {"list_info": asked})
    # This recording shows fewer keys of people and statuses than the others of its edition.
    assert_shape(answer.json(), recorded, open_objects=True)
    assert answer.json()["list_info"] == recorded["list_info"]
    # `display_value` is in the time zone of whoever asks, so only `value` can be compared.
    times = [row["created_time"]["value"] for row in recorded["requests"]]
    assert [row["created_time"]["value"] for row in answer.json()["requests"]] == times


def test_cloud_links(cloud: Desk) -> None:
    one, other = cloud.new_ticket(), cloud.new_ticket()
    path, input_data = (
        f"/requests/{one}/link_requests",
        {"link_requests": [{"linked_request": {"id": other}}]},
    )
    linked = cloud.ask("POST", path, input_data)
    assert (linked.status_code, linked.json()) == (200, cloud.recorded("response_link_request"))
    listed = cloud.ask("GET", path)
    assert_shape(listed.json(), cloud.recorded("response_linked_request_list"))
    assert [link["linked_request"]["id"] for link in listed.json()["link_requests"]] == [other]
    unlinked = cloud.ask("DELETE", path, input_data)
    assert (unlinked.status_code, unlinked.json()) == (200, cloud.recorded("response_unlink_request"))
    assert cloud.ask("GET", path).json()["link_requests"] == []


def test_cloud_resolutions(cloud: Desk) -> None:
    path = f"/requests/{cloud.new_ticket()}/resolutions"
    none = cloud.ask("GET", path)
    assert (none.status_code, none.json()) == (200, cloud.recorded("response_no_resolution_list"))
    cloud.ask("POST", path, {"resolution": {"content": "changing resolution from demisto"}})
    assert_shape(cloud.ask("GET", path).json(), cloud.recorded("response_resolution_list"))


def test_the_token_for_a_grant_code(cloud: Desk) -> None:
    given = {"grant_type": "authorization_code", "code": "refresh", "client_id": "a", "client_secret": "b"}
    answer = httpx.post(f"{cloud.running.origin}/oauth/v2/token", params=given)
    assert answer.status_code == 200
    assert_shape(answer.json(), cloud.recorded("response_generate_refresh_token"))


def test_every_recording_is_asked_for(shared: Path) -> None:
    asked = Path(__file__).read_text()
    folders = shared / "fixtures/servicedesk"
    names = [path.stem for path in folders.glob("*/*.json")]
    assert len(names) > 30
    assert [name for name in names if f'"{name}' not in asked] == []
