"""SDP's records and list queries, in the forms that the recordings show and in broken ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enhancer_dagster.adapters.service_desk.assets import asset_from
from enhancer_dagster.adapters.service_desk.fields import moment
from enhancer_dagster.adapters.service_desk.list_queries import ticket_list_info
from enhancer_dagster.adapters.service_desk.records import (
    article_from,
    is_open,
    listed_ticket_from,
    note_from,
    ticket_from,
)
from enhancer_dagster.domain.errors import ServiceDeskRefusedError
from enhancer_dagster.domain.ports import TicketQuery

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_MS = "1772366400000"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"name": "Open", "id": "2"}, True),
        ({"name": "On Hold", "id": "3"}, True),
        ({"name": "Waiting for the plumber", "id": "99"}, True),
        ({"name": "Closed", "id": "1"}, False),
        ({"name": "Resolved", "id": "4"}, False),
        ({"name": "Cancelled"}, False),
        ({"name": "canceled"}, False),
        ({"name": "Erledigt", "internal_name": "Closed"}, False),
        ({"name": "Closed", "internal_name": "Open"}, True),
        ({"name": "Parked", "internal_name": "Onhold", "in_progress": True}, True),
        ({"name": "Parked", "internal_name": "Parked", "in_progress": False}, False),
        (None, True),
    ],
)
def test_a_ticket_is_open_unless_its_status_ends_it(status: Any, expected: bool) -> None:
    assert is_open(status) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"value": NOON_MS, "display_value": "Mar 1, 2026 01:00 PM"}, NOON),
        ({"value": 1772366400000}, NOON),
        ({"value": "1772366400123"}, NOON + timedelta(milliseconds=123)),
        (None, None),
        ({"value": None}, None),
        ({"value": "-1"}, None),
        ({"value": "soon"}, None),
        ({"value": "9" * 30}, None),
        ("1772366400000", None),
    ],
)
def test_times_are_utc_or_nothing(value: Any, expected: datetime | None) -> None:
    assert moment(value) == expected


def test_a_ticket_that_was_never_changed_changed_when_it_was_created() -> None:
    row = {"id": "7", "created_time": {"value": NOON_MS}, "last_updated_time": None}
    assert ticket_from(row).updated_at == NOON


def test_missing_names_and_odd_types_become_empty_text() -> None:
    row = {
        "id": 7,
        "subject": None,
        "group": None,
        "site": "Norman Depot",
        "priority": {"id": "1"},
        "status": 3.5,
    }
    ticket = ticket_from(row)
    assert ticket.ticket_id == "7"
    assert (ticket.subject, ticket.group, ticket.site, ticket.priority) == ("", "", "Norman Depot", "")
    assert ticket.description == ""


def test_an_empty_resolution_is_none() -> None:
    assert ticket_from({"id": "7", "resolution": {"content": ""}}).resolution is None
    assert ticket_from({"id": "7", "resolution": {"content": None}}).resolution is None
    assert ticket_from({"id": "7", "resolution": {"content": "<p>ok</p>"}}).resolution == "<p>ok</p>"


def test_a_listed_ticket_has_no_description_even_where_one_is_sent() -> None:
    ticket = listed_ticket_from({"id": "7", "description": "d", "resolution": {"content": "r"}})
    assert ticket.description is None
    assert ticket.resolution is None


def test_text_that_cannot_be_stored_is_mended_everywhere() -> None:
    row = {"id": "7", "subject": "a\x00b\ud800", "status": {"name": "Open\ud800"}, "group": {"name": "\x00"}}
    ticket = ticket_from(row)
    assert ticket.subject == "a\ufffdb\ufffd"
    assert ticket.status == "Open\ufffd"
    assert ticket.group == "\ufffd"


def test_a_record_without_its_id_is_refused_by_field_without_its_text() -> None:
    with pytest.raises(ServiceDeskRefusedError, match="ticket_id") as caught:
        ticket_from({"id": "x; DROP TABLE " + "y" * 100, "subject": "s"})
    assert "DROP" not in str(caught.value)


def test_a_note_in_an_on_premises_list_has_no_text() -> None:
    note = note_from({"id": "337", "show_to_requester": True, "added_time": {"value": NOON_MS}})
    assert note.description is None
    assert note.shown_to_requester
    assert note.updated_at == NOON


def test_an_article() -> None:
    row = {
        "id": "12",
        "title": "VPN",
        "description": "<p>Use it</p>",
        "topic": {"name": "Network", "id": "3"},
        "is_public": True,
        "last_updated_time": {"value": NOON_MS},
    }
    article = article_from(row)
    assert (article.article_id, article.title, article.content) == ("12", "VPN", "<p>Use it</p>")
    assert (article.topic, article.is_public, article.updated_at) == ("Network", True, NOON)


def test_an_asset_of_the_old_form() -> None:
    row = {
        "id": "1003",
        "name": "SRV-DB-PROD",
        "location": {"name": "Oklahoma City"},
        "site": {"name": "ACME HQ"},
        "product_type": {"name": "Server"},
        "state": {"name": "In Use"},
        "ip_addresses": "192.0.2.18, 2001:DB8::18",
        "udf_fields": {
            "udf_1": "srv-db-prod01.example.org",
            "udf_2": "PowerEdge R640",
            "udf_3": "192.0.2.19",
        },
    }
    asset = asset_from(row, "workstations")
    assert asset.addresses == ("192.0.2.18", "2001:db8::18", "192.0.2.19")
    assert asset.hostnames == ("SRV-DB-PROD", "srv-db-prod01.example.org")
    assert (asset.role, asset.state, asset.site) == ("Server", "In Use", "ACME HQ")


def test_an_asset_of_the_new_form() -> None:
    row = {
        "id": "901",
        "name": "web-01",
        "primary_ip": "10.0.1.100",
        "network_adapters": [
            {"ip_address": "10.0.1.100"},
            {"ip_address": "fe80::1%eth0"},
            {"ip_address": None},
        ],
        "udf_fqdn": "web-01.corp.example.org.",
        "last_updated_time": {"value": NOON_MS},
    }
    asset = asset_from(row, "asset_servers")
    assert asset.addresses == ("10.0.1.100", "fe80::1")
    assert asset.hostnames == ("web-01", "web-01.corp.example.org")
    assert asset.role == "Server"
    assert asset.last_seen == NOON


def test_an_asset_name_that_is_no_host_name_is_not_one() -> None:
    asset = asset_from({"id": "5", "name": "Laser printer, 3rd floor", "location": "-"}, "assets")
    assert asset.name == "Laser printer, 3rd floor"
    assert asset.hostnames == ()
    assert asset.addresses == ()


def test_a_ticket_query_with_everything() -> None:
    query = TicketQuery(
        updated_since=NOON,
        created_since=NOON,
        statuses=("Resolved", "Closed"),
        start_index=101,
        row_count=500,
    )
    since = {"condition": "greater or equal", "value": NOON_MS}
    list_info = ticket_list_info(query)
    assert list_info["row_count"] == 100
    assert list_info["start_index"] == 101
    assert (list_info["sort_field"], list_info["sort_order"]) == ("last_updated_time", "asc")
    assert list_info["search_criteria"] == [
        {
            "field": "last_updated_time",
            **since,
            "children": [{"field": "created_time", **since, "logical_operator": "OR"}],
        },
        {"field": "created_time", **since, "logical_operator": "AND"},
        {
            "field": "status.name",
            "condition": "is",
            "values": ["Resolved", "Closed"],
            "logical_operator": "AND",
        },
    ]


def test_a_ticket_query_without_conditions_sends_none() -> None:
    assert "search_criteria" not in ticket_list_info(TicketQuery())
