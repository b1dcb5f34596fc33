"""`list_info`: which rows a list call is after, in which order, and which fields of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from enhancer_dagster.adapters.service_desk.fields import epoch_milliseconds
from enhancer_dagster.domain.ports import TicketQuery

MOST_ROWS = 100

# The columns that lists show by default differ between the editions and lack some of these.
TICKET_FIELDS = (
    "id",
    "subject",
    "status",
    "priority",
    "group",
    "site",
    "template",
    "created_time",
    "last_updated_time",
    "has_notes",
)

Criterion = Mapping[str, object]


def page(start_index: int, row_count: int = MOST_ROWS) -> dict[str, object]:
    """A page of at most 100 rows from `start_index`, which counts from 1."""
    return {"start_index": start_index, "row_count": min(row_count, MOST_ROWS)}


def ticket_list_info(query: TicketQuery) -> dict[str, object]:
    """What finds the tickets of `query`, in its order."""
    criteria: list[Criterion] = []
    if query.updated_since is not None:
        criteria.append(changed_since(query.updated_since))
    if query.edited_since is not None:
        criteria.append(_at_or_after("last_updated_time", query.edited_since))
    if query.created_since is not None:
        criteria.append(_at_or_after("created_time", query.created_since))
    if query.statuses:
        criteria.append({"field": "status.name", "condition": "is", "values": list(query.statuses)})
    return {
        **page(query.start_index, query.row_count),
        "sort_field": "created_time" if _by_creation(query) else "last_updated_time",
        "sort_order": "asc",
        "fields_required": list(TICKET_FIELDS),
        **search(criteria),
    }


def _by_creation(query: TicketQuery) -> bool:
    return query.created_since is not None and query.updated_since is None and query.edited_since is None


def article_list_info(start_index: int, updated_since: datetime | None) -> dict[str, object]:
    """What finds the articles changed since then."""
    criteria = [] if updated_since is None else [changed_since(updated_since)]
    return {**page(start_index), **search(criteria)}


def changed_since(moment: datetime) -> Criterion:
    """Changed or created at or after `moment`: what was never changed has no time of change on premises."""
    created: Criterion = {**_at_or_after("created_time", moment), "logical_operator": "OR"}
    return {**_at_or_after("last_updated_time", moment), "children": [created]}


def search(criteria: Sequence[Criterion]) -> dict[str, object]:
    """`search_criteria` that asks for all of `criteria`; nothing where there are none."""
    if not criteria:
        return {}
    first, *others = criteria
    return {"search_criteria": [first, *({**other, "logical_operator": "AND"} for other in others)]}


def _at_or_after(field: str, moment: datetime) -> Criterion:
    return {"field": field, "condition": "greater or equal", "value": epoch_milliseconds(moment)}
