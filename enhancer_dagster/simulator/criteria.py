"""`search_criteria`: which rows a list call is after.

As ManageEngine documents it: one criterion or several, `value` or `values`, `logical_operator` AND or OR on
every criterion but the first, and `children` that belong to their parent as in brackets. One live instance
refuses several criteria of which the later ones name no operator; so does this.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from enhancer_dagster.simulator.answers import invalid_input

Lookup = Callable[[str], Any]
"""The value of a row at a path such as `status.name`: text, truth, number, milliseconds, None, or several."""
Known = Callable[[str], bool]

_SHORT = {
    "=": "is",
    "eq": "is",
    "!=": "is not",
    "neq": "is not",
    "gt": "greater than",
    "lt": "lesser than",
    "gte": "greater or equal",
    "lte": "lesser or equal",
    "less than": "lesser than",
}
_KEYS = {"field", "condition", "value", "values", "logical_operator", "children"}
_FIELD = "search_criteria"


class Criterion:
    """One condition with its children.

    Args:
        given: As it came in `list_info`.
        known: Whether a row has a field of this name.

    Raises:
        Refusal: A key, field, condition or value that SDP does not know.
    """

    def __init__(self, given: Any, known: Known) -> None:
        if not isinstance(given, dict) or not set(given) <= _KEYS:
            raise invalid_input(_FIELD)
        path = given.get("field")
        if not isinstance(path, str):
            raise invalid_input(_FIELD)
        if not known(path.split(".")[0]):
            raise invalid_input(path)
        self._path = path
        condition = str(given.get("condition", "")).lower()
        condition = _SHORT.get(condition, condition)
        if condition not in _TESTS:
            raise invalid_input("condition")
        self._test = _TESTS[condition]
        self._wanted = _wanted(given)
        if condition.endswith("between") and len(self._wanted) != 2:
            raise invalid_input(self._path)
        children = given.get("children", [])
        siblings = children if isinstance(children, list) else [children]
        self._children = parse_joined(siblings, known, first=False)

    def matches(self, lookup: Lookup) -> bool:
        """Whether the row that `lookup` reads fulfils the condition and its children."""
        found = self._test(lookup(self._path), self._wanted, self._path)
        return join(found, self._children, lookup)


Joined = Sequence[tuple[str, Criterion]]


def parse_criteria(given: Any, known: Known) -> Joined:
    """Read `search_criteria`: an object, or a list of them."""
    return parse_joined(given if isinstance(given, list) else [given], known, first=True)


def parse_joined(given: Sequence[Any], known: Known, *, first: bool) -> Joined:
    """Criteria with the operator that joins each to what is before it."""
    joined: list[tuple[str, Criterion]] = []
    for position, entry in enumerate(given):
        criterion = Criterion(entry, known)
        operator = str(entry.get("logical_operator", "")).upper()
        if first and position == 0:
            operator = "AND"
        elif operator not in {"AND", "OR"}:
            raise invalid_input("logical_operator")
        joined.append((operator, criterion))
    return joined


def join(found: bool, joined: Joined, lookup: Lookup) -> bool:
    """`found`, and then the criteria one after another, from the left."""
    for operator, criterion in joined:
        if operator == "OR":
            found = found or criterion.matches(lookup)
        else:
            found = found and criterion.matches(lookup)
    return found


def _wanted(given: dict[str, Any]) -> list[Any]:
    if "values" in given:
        values = given["values"]
        return values if isinstance(values, list) else [values]
    return [] if given.get("value") is None else [given["value"]]


def _each(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from (one for one in value if one is not None)
    elif value is not None:
        yield value


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, dict):
        if isinstance(wanted, dict):
            return any(value.get(key) == str(wanted[key]) for key in ("id", "name") if key in wanted)
        return str(wanted) in {value.get("id"), value.get("name")}
    if isinstance(value, bool):
        return str(wanted).lower() == str(value).lower()
    return str(value) == str(wanted)


def _is(value: Any, wanted: Sequence[Any], path: str) -> bool:
    if not wanted:
        return value is None
    return any(_equal(one, want) for one in _each(value) for want in wanted)


def _number(value: Any, path: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise invalid_input(path) from None


def _compare(accept: Callable[[int, int], bool]) -> Callable[[Any, Sequence[Any], str], bool]:
    def test(value: Any, wanted: Sequence[Any], path: str) -> bool:
        if len(wanted) != 1:
            raise invalid_input(path)
        limit = _number(wanted[0], path)
        return any(accept(_number(one, path), limit) for one in _each(value))

    return test


def _between(value: Any, wanted: Sequence[Any], path: str) -> bool:
    low, high = (_number(want, path) for want in wanted)
    return any(low <= _number(one, path) <= high for one in _each(value))


def _text(accept: Callable[[str, str], bool]) -> Callable[[Any, Sequence[Any], str], bool]:
    def test(value: Any, wanted: Sequence[Any], path: str) -> bool:
        return any(accept(str(one).lower(), str(want).lower()) for one in _each(value) for want in wanted)

    return test


def _not(
    test: Callable[[Any, Sequence[Any], str], bool],
) -> Callable[[Any, Sequence[Any], str], bool]:
    return lambda value, wanted, path: not test(value, wanted, path)


_contains = _text(lambda value, want: want in value)
_TESTS: dict[str, Callable[[Any, Sequence[Any], str], bool]] = {
    "is": _is,
    "is not": _not(_is),
    "greater than": _compare(lambda value, limit: value > limit),
    "greater or equal": _compare(lambda value, limit: value >= limit),
    "lesser than": _compare(lambda value, limit: value < limit),
    "lesser or equal": _compare(lambda value, limit: value <= limit),
    "between": _between,
    "not between": _not(_between),
    "contains": _contains,
    "not contains": _not(_contains),
    "starts with": _text(str.startswith),
    "ends with": _text(str.endswith),
}
