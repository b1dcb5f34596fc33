"""`input_data`: reading the JSON that a call carries, and checking what it wants to set."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from enhancer_dagster.domain.text import storable
from enhancer_dagster.simulator.answers import Json, Refusal, invalid_input, missing
from enhancer_dagster.simulator.dialects.base import REFERENCES
from enhancer_dagster.simulator.directory import Directory
from enhancer_dagster.simulator.values import stored_html

MAX_SUBJECT = 250

REQUEST_KEYS = frozenset(
    {
        *REFERENCES,
        *("subject", "description", "requester", "assets", "email_ids_to_notify", "email_to", "email_cc"),
        *("udf_fields", "impact_details", "due_by_time", "first_response_due_by_time", "is_fcr", "tags"),
        *("resolution", "update_reason", "status_change_comments", "closure_info", "resources"),
        *("scheduled_start_time", "scheduled_end_time", "department", "notification_status"),
    }
)
_NOT_KEPT = frozenset({"update_reason", "status_change_comments", "closure_info", "resources", "resolution"})


def read_input(query: bytes, body: bytes) -> Json:
    """The `input_data` of a call: a form field of its body, or a parameter of its address.

    Raises:
        Refusal: It is not a JSON object.
    """
    given = _parameter(body) or _parameter(query)
    if given is None:
        return {}
    try:
        parsed = json.loads(given)
    except (ValueError, RecursionError):
        raise invalid_input("input_data") from None
    if not isinstance(parsed, dict):
        raise invalid_input("input_data")
    return parsed


def _parameter(encoded: bytes) -> str | None:
    if b"input_data" not in encoded:
        return None
    values = parse_qs(encoded.decode("utf-8", "replace"), max_num_fields=50).get("input_data")
    return values[0] if values else None


def only_entity(input_data: Json, name: str, extra_key_message: str) -> Json:
    """The object under `name`, which must be the only key.

    Raises:
        Refusal: It is missing, or there are other keys.
    """
    for key in input_data:
        if key != name:
            raise Refusal(400, 4001, extra_key_message, field_name=key)
    value = input_data.get(name)
    if not isinstance(value, dict):
        raise missing(name)
    return value


def check_keys(given: Mapping[str, Any], allowed: frozenset[str], extra_key_message: str) -> None:
    """Refuse keys that are not `allowed`.

    Raises:
        Refusal: There is one; the answer names the first.
    """
    for key in given:
        if key not in allowed:
            raise Refusal(400, 4001, extra_key_message, field_name=key)


def request_values(given: Json, directory: Directory) -> dict[str, Any]:
    """What a request's input sets, in the form in which it is kept.

    Raises:
        Refusal: A value is not known or not of its type.
    """
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key in _NOT_KEPT:
            continue
        if key in REFERENCES:
            values[key] = directory.find(key, value)
        elif key in _READERS:
            values[key] = _READERS[key](value, key)
        elif key == "requester":
            values[key] = directory.requester(value)
        else:
            values[key] = value
    if values.get("status", True) is None:
        raise invalid_input("status")
    return values


def html_of(value: Any, key: str) -> str | None:
    """An HTML field as it is stored.

    Raises:
        Refusal: It is not text.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refusal(400, 4021, "Data type mismatch", field_name=key)
    return stored_html(value)


def line_of(value: Any, key: str) -> str:
    """A one-line field such as the subject: plain text, at most 250 characters.

    Raises:
        Refusal: It is not text, empty or too long.
    """
    if not isinstance(value, str):
        raise Refusal(400, 4021, "Data type mismatch", field_name=key)
    line = " ".join(storable(value).split())
    if not line:
        raise missing(key)
    if len(line) > MAX_SUBJECT:
        raise invalid_input(key)
    return line


def _addresses(value: Any, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Refusal(400, 4021, "Data type mismatch", field_name=key)
    return value


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "subject": line_of,
    "description": html_of,
    "email_ids_to_notify": _addresses,
    "email_to": _addresses,
    "email_cc": _addresses,
}
