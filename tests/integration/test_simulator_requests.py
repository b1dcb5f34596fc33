"""The simulator's tickets, notes, articles and lists, as any client of the API sees them."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.options import SimulatorOptions
from enhancer_dagster.simulator.server import running_simulator
from enhancer_dagster.simulator.simulator import Simulator

Json = dict[str, Any]


class Client:
    """Plain calls of the API with `input_data`, in either edition."""

    def __init__(self, http: httpx.Client, simulator: Simulator) -> None:
        self.http = http
        self.simulator = simulator
        self.note_key = simulator.desk.dialect.note_name

    def ask(self, method: str, path: str, input_data: Any = None) -> httpx.Response:
        field = {} if input_data is None else {"input_data": json.dumps(input_data)}
        if method == "GET":
            return self.http.get(path, params=field)
        return self.http.request(method, path, data=field)

    def listed(self, path: str = "/requests", **list_info: Any) -> Json:
        answer = self.ask("GET", path, {"list_info": list_info})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def subjects(self, **list_info: Any) -> list[str]:
        return [row["subject"] for row in self.listed(**list_info)["requests"]]

    def field_of(self, answer: httpx.Response) -> tuple[int, str]:
        message = answer.json()["response_status"]["messages"][0]
        return answer.status_code, message.get("field") or message.get("message")


@pytest.fixture(scope="module", params=list(Edition))
def served(request: pytest.FixtureRequest) -> Iterator[Client]:
    simulator = Simulator(SimulatorOptions(edition=request.param))
    headers = {"authtoken": "simulator", "Authorization": f"Bearer {simulator.tokens.issue(3600)}"}
    with (
        running_simulator(simulator) as running,
        httpx.Client(base_url=f"{running.url}/api/v3", headers=headers) as http,
    ):
        yield Client(http, simulator)


@pytest.fixture
def client(served: Client) -> Client:
    served.simulator.reset(("desk", "faults", "log"))
    return served


def test_a_description_is_replaced_and_stored_as_html(client: Client) -> None:
    added = client.ask("POST", "/requests", {"request": {"subject": "S", "description": "old"}})
    ticket = added.json()["request"]
    path = f"/requests/{ticket['id']}"
    html = '<p class="ours" data-x="1">new<!-- mark --></p><script>x()</script>'
    assert client.ask("PUT", path, {"request": {"description": html}}).status_code == 200
    read = client.ask("GET", path).json()["request"]
    assert read["description"] == "<p>new</p>"
    assert read["subject"] == "S"
    assert int(read["last_updated_time"]["value"]) >= int(ticket["created_time"]["value"])


def test_text_that_utf8_cannot_say_does_not_break_an_answer(client: Client) -> None:
    given = {"subject": "bad \ud800 \x00 text", "description": "a\ud800b\x00", "udf_fields": {"x": "\udfff"}}
    added = client.ask("POST", "/requests", {"request": given})
    assert added.status_code == 201
    assert client.ask("GET", f"/requests/{added.json()['request']['id']}").status_code == 200


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"request": {"subject": "S", "no_such_key": 1}}, "no_such_key"),
        ({"request": {"subject": "S"}, "other": 1}, "other"),
        ({"request": {"subject": "S", "id": "9"}}, "id"),
        ({"request": {"subject": "S", "priority": {"name": "Sky-high"}}}, "priority"),
        ({"request": {"subject": "S", "priority": "High"}}, "priority"),
        ({"request": {"subject": "x" * 251}}, "subject"),
        ({"request": {"subject": "S", "description": 5}}, "description"),
        ({"request": {"subject": "S", "status": None}}, "status"),
        (["request"], "input_data"),
    ],
)
def test_input_that_sdp_does_not_know_is_refused_by_name(client: Client, given: Any, named: str) -> None:
    assert client.field_of(client.ask("POST", "/requests", given)) == (400, named)
    assert client.simulator.desk.tickets == {}


def test_input_that_is_not_json_is_refused(client: Client) -> None:
    answer = client.http.post("/requests", data={"input_data": "{'request': "})
    assert client.field_of(answer) == (400, "input_data")


def test_a_missing_subject_is_named(client: Client) -> None:
    answer = client.ask("POST", "/requests", {"request": {"description": "x"}})
    assert answer.status_code == 400
    assert answer.json()["response_status"]["messages"] == [
        {"status_code": 4012, "fields": ["subject"], "type": "failed"}
    ]


def test_a_closed_ticket_cannot_be_edited_until_it_is_reopened(client: Client) -> None:
    ticket_id = client.simulator.add_ticket("S", "before").ticket_id
    path = f"/requests/{ticket_id}"
    assert client.ask("PUT", f"{path}/close").status_code == 200
    assert client.ask("PUT", path, {"request": {"description": "after"}}).status_code == 400
    assert client.ask("POST", f"{path}/resolutions", {"resolution": {"content": "x"}}).status_code == 400
    assert client.ask("GET", path).json()["request"]["description"] == "before"
    assert client.ask("PUT", path, {"request": {"status": {"name": "Open"}}}).status_code == 200
    assert client.ask("PUT", path, {"request": {"description": "after"}}).status_code == 200
    read = client.ask("GET", path).json()["request"]
    assert (read["description"], read["is_reopened"]) == ("after", True)


def test_a_trashed_ticket_is_out_of_lists_and_edits_and_can_come_back_or_go_for_ever(client: Client) -> None:
    ticket_id = client.simulator.add_ticket("S").ticket_id
    path = f"/requests/{ticket_id}"
    assert client.ask("DELETE", path).status_code == 400
    assert client.ask("DELETE", f"{path}/move_to_trash").status_code == 200
    assert client.subjects() == []
    assert client.ask("GET", path).json()["request"]["is_trashed"] is True
    assert client.ask("PUT", path, {"request": {"subject": "T"}}).status_code == 400
    assert client.ask("PUT", f"{path}/restore_from_trash").status_code == 200
    assert client.subjects() == ["S"]
    client.ask("DELETE", f"{path}/move_to_trash")
    assert client.ask("DELETE", path).status_code == 200
    assert client.field_of(client.ask("GET", path)) == (404, "Invalid URL")


def test_lists_carry_neither_description_nor_resolution_even_when_asked(client: Client) -> None:
    client.simulator.add_ticket("S", "long text", priority="High")
    row = client.listed()["requests"][0]
    assert "description" not in row
    assert "resolution" not in row
    asked = client.listed(fields_required=["subject", "priority", "description", "resolution", "has_notes"])
    assert set(asked["requests"][0]) == {"id", "subject", "priority", "has_notes"}


def test_pages_fit_together(client: Client) -> None:
    for number in range(25):
        client.simulator.add_ticket(f"{number:02}", created=1_700_000_000_000 + number)
    order = {"sort_field": "created_time", "sort_order": "asc"}
    pages = [client.listed(start_index=start, row_count=10, **order) for start in (1, 11, 21)]
    seen = [row["subject"] for page in pages for row in page["requests"]]
    assert seen == [f"{number:02}" for number in range(25)]
    assert [page["list_info"]["has_more_rows"] for page in pages] == [True, True, False]
    assert [page["list_info"]["row_count"] for page in pages] == [10, 10, 5]
    assert client.listed(page=3, row_count=10, **order)["requests"] == pages[2]["requests"]
    beyond = client.listed(start_index=26, row_count=10, get_total_count=True)
    assert (beyond["requests"], beyond["list_info"]["has_more_rows"]) == ([], False)
    assert beyond["list_info"]["total_count"] == 25
    exact = client.listed(start_index=16, row_count=10)
    assert exact["list_info"]["has_more_rows"] is False
    assert len(client.listed()["requests"]) == 10


@pytest.mark.parametrize(
    ("list_info", "named"),
    [
        ({"row_count": 101}, "row_count"),
        ({"row_count": 0}, "row_count"),
        ({"row_count": "many"}, "row_count"),
        ({"start_index": -1}, "start_index"),
        ({"sort_field": "colour"}, "sort_field"),
        ({"sort_order": "sideways"}, "sort_order"),
        ({"sort": "asc"}, "sort"),
        ({"filter_by": {"name": "My_Own"}}, "filter_by"),
        ({"fields_required": "subject"}, "fields_required"),
        ({"search_criteria": {"field": "colour", "condition": "is", "value": "red"}}, "colour"),
    ],
)
def test_list_info_that_sdp_does_not_know_is_refused_by_name(
    client: Client, list_info: Json, named: str
) -> None:
    assert client.field_of(client.ask("GET", "/requests", {"list_info": list_info})) == (400, named)


def test_a_hundred_rows_are_the_most(client: Client) -> None:
    for _ in range(101):
        client.simulator.add_ticket("S")
    listed = client.listed(row_count=100)
    assert len(listed["requests"]) == 100
    assert listed["list_info"]["has_more_rows"] is True


def test_searching_by_status_and_time_as_the_poll_does(client: Client) -> None:
    add = client.simulator.add_ticket
    add("old open", created=1000)
    add("new open", created=3000)
    add("new resolved", created=3000, status="Resolved")
    add("new closed", created=4000, status="Closed")
    since = {"field": "created_time", "condition": "greater or equal", "value": "3000"}
    is_open = {"field": "status.name", "condition": "is", "values": ["Open"], "logical_operator": "AND"}
    is_done = {**is_open, "values": ["Resolved", "Closed"]}
    order = {"sort_field": "created_time", "sort_order": "asc"}
    assert client.subjects(search_criteria=[since, is_open], **order) == ["new open"]
    assert client.subjects(search_criteria=[since, is_done], **order) == ["new resolved", "new closed"]
    nested = {**since, "children": [{**is_open, "logical_operator": "OR"}]}
    assert sorted(client.subjects(search_criteria=nested)) == sorted(
        ["old open", "new open", "new resolved", "new closed"]
    )
    assert client.subjects(search_fields={"subject": "OLD"}) == ["old open"]
    assert (
        client.ask("GET", "/requests", {"list_info": {"search_criteria": [since, since]}}).status_code == 400
    )


def test_sorting_by_names_and_by_times_that_may_be_missing(client: Client) -> None:
    add = client.simulator.add_ticket
    first, second = add("first", group="Network", created=1000), add("second", created=2000)
    client.simulator.edit_ticket(first.ticket_id, subject="first edited")
    by_change = client.subjects(sort_field="last_updated_time", sort_order="asc")
    by_group = client.subjects(sort_field="group.name", sort_order="asc")
    assert by_group == ["first edited", "second"]
    if second.updated is None:
        assert by_change == ["first edited", "second"]
    else:
        assert by_change == ["second", "first edited"]


def test_notes_have_their_edition_s_name_and_form(client: Client) -> None:
    ticket_id = client.simulator.add_ticket("S").ticket_id
    path = f"/requests/{ticket_id}/notes"
    given = {"description": '<p id="x">a note</p>', "show_to_requester": False}
    added = client.ask("POST", path, {client.note_key: given})
    assert added.status_code == 201
    note = added.json()[client.note_key]
    assert (note["description"], note["show_to_requester"]) == ("<p>a note</p>", False)
    listed = client.ask("GET", path).json()
    (row,) = listed[client.simulator.desk.dialect.notes_name]
    assert ("description" in row) is (client.note_key == "request_note")
    assert client.ask("GET", f"{path}/{note['id']}").json()[client.note_key] == note
    assert client.ask("GET", f"/requests/{ticket_id}").json()["request"]["has_notes"] is True
    wrong = "note" if client.note_key == "request_note" else "request_note"
    assert client.field_of(client.ask("POST", path, {wrong: given})) == (400, wrong)
    assert client.ask("POST", path, {client.note_key: {"description": ""}}).status_code == 400
    assert client.ask("DELETE", f"{path}/{note['id']}").status_code == 200
    assert client.ask("GET", f"{path}/{note['id']}").status_code == 404


def test_articles_are_listed_without_their_text(client: Client) -> None:
    given = {"title": "VPN", "description": "<p>How to</p>", "topic": {"name": "Network"}}
    added = client.ask("POST", "/solutions", {"solution": given})
    assert added.status_code == 201
    solution = added.json()["solution"]
    assert (
        client.ask("GET", f"/solutions/{solution['id']}").json()["solution"]["description"] == "<p>How to</p>"
    )
    (row,) = client.listed("/solutions")["solutions"]
    assert (row["id"], row["title"], row["topic"]["name"]) == (solution["id"], "VPN", "Network")
    assert "description" not in row
    changed = {"solution": {"description": "<p>Better</p>"}}
    edited = client.ask("PUT", f"/solutions/{solution['id']}", changed).json()["solution"]
    assert (edited["title"], edited["description"]) == ("VPN", "<p>Better</p>")
    assert edited["created_time"] == solution["created_time"]
    assert client.ask("GET", "/solutions/404").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nonsense"), ("PATCH", "/requests"), ("PUT", "/requests/1/no_such_action"), ("GET", "")],
)
def test_unknown_paths_are_invalid_urls(client: Client, method: str, path: str) -> None:
    assert client.field_of(client.ask(method, path)) == (404, "Invalid URL")


def test_what_a_write_carries_may_be_in_the_address(client: Client) -> None:
    given = json.dumps({"request": {"subject": "in the address"}})
    assert client.http.post("/requests", params={"input_data": given}).status_code == 201
    assert client.subjects() == ["in the address"]
