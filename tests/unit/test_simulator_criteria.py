"""Search criteria of the simulator: conditions, operators, brackets, and what is refused."""

from typing import Any

import pytest

from enhancer_dagster.simulator.answers import Refusal
from enhancer_dagster.simulator.criteria import join, parse_criteria

FIELDS = {"subject", "status", "created_time", "due_by_time", "is_overdue", "network_adapters"}
ROW = {
    "subject": "Printer offline in Room 4",
    "status": {"id": "2", "name": "Open"},
    "status.name": "Open",
    "status.id": "2",
    "created_time": 1000,
    "due_by_time": None,
    "is_overdue": False,
    "network_adapters.ip_address": ["10.0.0.1", "10.0.0.2"],
}


def found(criteria: Any) -> bool:
    return join(True, parse_criteria(criteria, FIELDS.__contains__), ROW.__getitem__)


def one(field: str, condition: str, *values: Any) -> dict[str, Any]:
    return {"field": field, "condition": condition, "values": list(values)}


@pytest.mark.parametrize(
    ("field", "condition", "values", "expected"),
    [
        ("status.name", "is", ["Open"], True),
        ("status.name", "is", ["open"], False),
        ("status.name", "is", ["Closed", "Open"], True),
        ("status.name", "is not", ["Closed"], True),
        ("status.name", "is not", ["Closed", "Open"], False),
        ("status", "is", [{"id": "2", "name": "Open"}], True),
        ("status", "is", [{"name": "Closed"}], False),
        ("status", "is", ["Open"], True),
        ("status.id", "eq", ["2"], True),
        ("status.id", "neq", ["2"], False),
        ("created_time", "greater than", ["999"], True),
        ("created_time", "greater than", ["1000"], False),
        ("created_time", "gte", ["1000"], True),
        ("created_time", "greater or equal", ["1001"], False),
        ("created_time", "lesser than", ["1000"], False),
        ("created_time", "lt", ["1001"], True),
        ("created_time", "lesser or equal", ["1000"], True),
        ("created_time", "between", ["1000", "2000"], True),
        ("created_time", "between", ["1001", "2000"], False),
        ("created_time", "not between", ["1001", "2000"], True),
        ("due_by_time", "greater than", ["0"], False),
        ("due_by_time", "is", [], True),
        ("due_by_time", "is not", [], False),
        ("created_time", "is not", [], True),
        ("subject", "contains", ["room 4"], True),
        ("subject", "contains", ["scanner"], False),
        ("subject", "not contains", ["scanner"], True),
        ("subject", "starts with", ["printer"], True),
        ("subject", "ends with", ["printer"], False),
        ("is_overdue", "is", ["false"], True),
        ("is_overdue", "is", [True], False),
        ("network_adapters.ip_address", "is", ["10.0.0.2"], True),
        ("network_adapters.ip_address", "is", ["10.0.0.3"], False),
    ],
)
def test_conditions(field: str, condition: str, values: list[Any], *, expected: bool) -> None:
    assert found(one(field, condition, *values)) is expected


def test_a_single_value_and_a_list_of_one_mean_the_same() -> None:
    assert found({"field": "status.name", "condition": "is", "value": "Open"})
    assert not found({"field": "status.name", "condition": "is", "value": "Closed"})


TRUE, FALSE = one("status.name", "is", "Open"), one("status.name", "is", "Closed")


def joined(operator: str, criterion: dict[str, Any], *children: dict[str, Any]) -> dict[str, Any]:
    return {**criterion, "logical_operator": operator, **({"children": list(children)} if children else {})}


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ([TRUE, joined("AND", FALSE)], False),
        ([FALSE, joined("or", TRUE)], True),
        ([TRUE, joined("OR", FALSE), joined("AND", FALSE)], False),
        ([FALSE, joined("AND", TRUE, joined("OR", TRUE))], False),
        ({**FALSE, "children": [joined("OR", TRUE)]}, True),
        ([{**FALSE, "children": [joined("OR", TRUE)]}, joined("AND", TRUE)], True),
        ([TRUE, joined("AND", FALSE, joined("OR", TRUE), joined("AND", FALSE))], False),
        ([], True),
    ],
)
def test_operators_join_from_the_left_and_children_stand_in_brackets(
    criteria: Any, *, expected: bool
) -> None:
    assert found(criteria) is expected


@pytest.mark.parametrize(
    ("criteria", "named"),
    [
        ([TRUE, TRUE], "logical_operator"),
        ({**TRUE, "children": [TRUE]}, "logical_operator"),
        ([TRUE, joined("XOR", TRUE)], "logical_operator"),
        (one("colour", "is", "red"), "colour"),
        (one("subject", "sounds like", "x"), "condition"),
        (one("created_time", "between", "1"), "created_time"),
        (one("created_time", "greater than", "yesterday"), "created_time"),
        (one("created_time", "greater than"), "created_time"),
        ({"condition": "is", "value": "x"}, "search_criteria"),
        ({**TRUE, "operator": "AND"}, "search_criteria"),
        ("status is open", "search_criteria"),
    ],
)
def test_what_is_refused_names_the_field(criteria: Any, named: str) -> None:
    with pytest.raises(Refusal) as refused:
        found(criteria)
    body = refused.value.answer().body
    assert isinstance(body, dict)
    assert body["response_status"]["messages"][0]["field"] == named
