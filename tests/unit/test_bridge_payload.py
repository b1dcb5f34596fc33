"""Bodies from outside: read, or refused with the names of what is wrong."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enhancer_dagster.bridge.payload import PayloadError, parse_payload
from tests.bridge_server import body

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("given_id", "read"),
    [
        ("42", "42"),
        (42, "42"),
        (10**17 + 1, "100000000000000001"),
        (" 7 ", "7"),
        ("INC-1.2:3_x", "INC-1.2:3_x"),
    ],
)
def test_ticket_ids_are_kept_as_text(given_id: object, read: str) -> None:
    assert parse_payload(body(ticket_id=given_id)).ticket_id == read


@pytest.mark.parametrize("ticket_id", ["x" * 65, "a b", "", None, True, 1.5, [], "1\n2", "ä", "../x"])
def test_what_is_no_ticket_id(ticket_id: object) -> None:
    with pytest.raises(PayloadError) as refused:
        parse_payload(body(ticket_id=ticket_id))
    assert refused.value.fields == ("ticket_id",)


@pytest.mark.parametrize(
    ("created_at", "read"),
    [
        ("2026-11-02T15:30:45Z", datetime(2026, 11, 2, 15, 30, 45, tzinfo=UTC)),
        ("2026-11-02T16:30:45+01:00", datetime(2026, 11, 2, 15, 30, 45, tzinfo=UTC)),
        ("2026-11-02 15:30:45", datetime(2026, 11, 2, 15, 30, 45, tzinfo=UTC)),
        (1793633445, datetime(2026, 11, 2, 15, 30, 45, tzinfo=UTC)),
        ("1793633445000", datetime(2026, 11, 2, 15, 30, 45, tzinfo=UTC)),
        (None, None),
        ("yesterday", None),
        ("9999-12-31T23:59:59-14:00", None),
    ],
)
def test_creation_times(created_at: object, read: datetime | None) -> None:
    assert parse_payload(body(created_at=created_at)).created_at == read


def test_nul_and_lone_surrogates_are_replaced() -> None:
    payload = parse_payload(body(description="a\x00b\ud83dc", subject="\udc00"))
    assert (payload.description, payload.subject) == ("a�b�c", "�")


def test_every_wrong_field_is_named() -> None:
    wrong = {"priority": 1, "correlation_id": "12345678-1234-1234-1234-123456789012"}
    with pytest.raises(PayloadError) as refused:
        parse_payload(json.dumps(wrong).encode())
    assert set(refused.value.fields) == {
        "ticket_id", "description", "priority", "created_at", "correlation_id",
    }  # fmt: skip


NAMES = ["ticket_id", "description", "priority", "created_at", "subject", "event", "correlation_id", "x"]


@given(st.dictionaries(st.sampled_from(NAMES), json_values))
def test_any_json_object_is_read_or_refused(content: dict[str, object]) -> None:
    try:
        parse_payload(json.dumps(content).encode()).model_dump_json().encode()
    except PayloadError as error:
        named = error.fields
        assert set(named) <= set(NAMES)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(raw: bytes) -> None:
    with pytest.raises(PayloadError):
        parse_payload(raw)
