"""List calls: `list_info`, sorting, pages, and which keys a row shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from enhancer_dagster.simulator.answers import SUCCESS, Answer, Json, Refusal, invalid_input
from enhancer_dagster.simulator.criteria import Joined, Lookup, join, parse_criteria
from enhancer_dagster.simulator.dialects.base import Dialect

Row = TypeVar("Row")

MAX_ROWS = 100
DEFAULT_ROWS = 10
HTML_FIELDS = frozenset({"description", "resolution"})
"""Texts that no list carries, asked for or not."""

_KEYS = {
    *("row_count", "start_index", "page", "sort_field", "sort_order", "search_criteria", "search_fields"),
    *("fields_required", "get_total_count", "filter_by"),
}
_ORDERS = {"asc": "asc", "a": "asc", "desc": "desc", "d": "desc"}


@dataclass(frozen=True)
class Listed(Generic[Row]):
    """What is listed.

    Attributes:
        name: The key of the list in the answer.
        rows: All rows that may be shown.
        knows: Whether a row has a field, to sort, search and ask for.
        read: The value of a row at a path.
        show: A row with the keys that a list has by default.
        full: A row with every key, from which `fields_required` chooses.
        default_sort: Field and order where the call names none.
    """

    name: str
    rows: Sequence[Row]
    knows: Callable[[str], bool]
    read: Callable[[Row, str], Any]
    show: Callable[[Row], Json]
    full: Callable[[Row], Json]
    default_sort: tuple[str, str]


@dataclass(frozen=True)
class _Query:
    start_index: int
    row_count: int
    sort_field: str
    sort_order: str
    criteria: Joined
    fields: tuple[str, ...] | None


def list_answer(listed: Listed[Row], input_data: Json, dialect: Dialect) -> Answer:
    """Answer a list call.

    Args:
        listed: What is listed.
        input_data: The call's `input_data`, `{}` where it has none.
        dialect: The edition's.

    Raises:
        Refusal: An unknown key, field or condition, or a value out of range.
    """
    info = input_data.get("list_info", {})
    if not isinstance(info, dict):
        raise invalid_input("list_info")
    for key in info:
        if key not in _KEYS:
            raise Refusal(400, 4001, dialect.extra_key_message, field_name=key)
    query = _query(info, input_data, listed)
    found = [row for row in listed.rows if join(True, query.criteria, _lookup(listed, row))]
    found.sort(key=_sort_key(listed, query.sort_field), reverse=query.sort_order == "desc")
    first = query.start_index - 1
    page = found[first : first + query.row_count]
    shown = {
        "has_more_rows": first + query.row_count < len(found),
        "start_index": query.start_index,
        **_echo(info, query, echoes_sort=dialect.echoes_sort),
        **({"total_count": len(found)} if info.get("get_total_count") in (True, "true") else {}),
        "row_count": len(page),
    }
    rows = [_show(listed, row, query.fields) for row in page]
    return Answer(200, {"response_status": [dict(SUCCESS)], "list_info": shown, listed.name: rows})


def _query(info: Json, input_data: Json, listed: Listed[Any]) -> _Query:
    row_count = _whole(info, "row_count", DEFAULT_ROWS, most=MAX_ROWS)
    start_index = _whole(info, "start_index", 1, least=0) or 1
    if "page" in info:
        start_index = (_whole(info, "page", 1) - 1) * row_count + 1
    sort_field = info.get("sort_field", listed.default_sort[0])
    if not isinstance(sort_field, str) or not listed.knows(sort_field.split(".")[0]):
        raise invalid_input("sort_field")
    sort_order = _ORDERS.get(str(info.get("sort_order", listed.default_sort[1])).lower())
    if sort_order is None:
        raise invalid_input("sort_order")
    fields = info.get("fields_required", input_data.get("fields_required"))
    if fields is not None and not isinstance(fields, list):
        raise invalid_input("fields_required")
    wanted = None if fields is None else tuple(str(name) for name in fields)
    return _Query(start_index, row_count, sort_field, sort_order, _criteria(info, listed), wanted)


def _criteria(info: Json, listed: Listed[Any]) -> Joined:
    # The only filter that means the same in every installation is the one that filters nothing.
    if info.get("filter_by", {"name": "All_Requests"}) != {"name": "All_Requests"}:
        raise invalid_input("filter_by")
    joined = list(parse_criteria(info["search_criteria"], listed.knows)) if "search_criteria" in info else []
    for field, value in info.get("search_fields", {}).items():
        joined += parse_criteria({"field": field, "condition": "contains", "value": value}, listed.knows)
    return joined


def _whole(info: Json, key: str, default: int, *, least: int = 1, most: int | None = None) -> int:
    given = info.get(key, default)
    try:
        number = int(given)
    except (TypeError, ValueError):
        raise invalid_input(key) from None
    if number < least or (most is not None and number > most):
        raise invalid_input(key)
    return number


def _lookup(listed: Listed[Row], row: Row) -> Lookup:
    return lambda path: listed.read(row, path)


def _sort_key(listed: Listed[Row], field: str) -> Callable[[Row], tuple[int, int, str]]:
    def key(row: Row) -> tuple[int, int, str]:
        value = listed.read(row, field)
        if isinstance(value, dict):
            value = value.get("name")
        if value is None:
            return (2, 0, "")
        text = str(value)
        return (0, int(text), "") if text.isdecimal() else (1, 0, text.lower())

    return key


def _echo(info: Json, query: _Query, *, echoes_sort: bool) -> Json:
    shown = {key: info[key] for key in ("search_criteria", "fields_required", "page") if key in info}
    if echoes_sort or "sort_field" in info or "sort_order" in info:
        shown |= {"sort_field": query.sort_field, "sort_order": query.sort_order}
    return shown


def _show(listed: Listed[Row], row: Row, fields: tuple[str, ...] | None) -> Json:
    if fields is None:
        return listed.show(row)
    full = listed.full(row)
    wanted = ["id", *(name.split(".")[0] for name in fields)]
    return {name: full[name] for name in wanted if name in full and name not in HTML_FIELDS}


def read_shown(row: Json, path: str) -> Any:
    """The value at `path` of a row that is kept as it is shown; times come as milliseconds."""
    value: Any = row
    for name in path.split("."):
        if isinstance(value, list):
            value = [one.get(name) for one in value if isinstance(one, dict)]
        else:
            value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, dict) and "display_value" in value:
        return int(value["value"])
    return value
