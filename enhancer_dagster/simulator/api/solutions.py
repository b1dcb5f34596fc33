"""`/solutions`: the knowledge base.

Key names are those of ManageEngine's note on the change of build 11200. No recording shows whether a list
carries the text; like other lists it does not here, so that a client has to be able to do without.
"""

from typing import Any

from enhancer_dagster.simulator.answers import Answer, Json, entity, missing, not_found
from enhancer_dagster.simulator.api.call import Call
from enhancer_dagster.simulator.desk import SimulatedDesk
from enhancer_dagster.simulator.input_data import check_keys, html_of, line_of, only_entity
from enhancer_dagster.simulator.listing import HTML_FIELDS, Listed, list_answer, read_shown
from enhancer_dagster.simulator.values import shown_time, stored_html

_KEYS = frozenset({"title", "description", "topic", "keywords", "is_public"})
_FIELDS = frozenset(
    {
        *("id", "title", "description", "topic", "keywords", "is_public", "no_of_hits", "approval_status"),
        *("created_time", "created_by", "last_updated_time", "last_updated_by", "owner", "review_date"),
        *("expiry_date", "attachments", "has_attachments"),
    }
)


def put_solution(
    desk: SimulatedDesk,
    solution_id: str,
    *,
    title: str,
    content: str,
    topic: str,
    keywords: str = "",
    is_public: bool = True,
    created: int | None = None,
) -> Json:
    """Keep an article, as it is shown; an article of this id is replaced."""
    now, author = desk.now(), desk.directory.administrator
    solution: Json = {
        "id": solution_id,
        "title": title,
        "description": stored_html(content),
        "topic": desk.directory.named("topic", topic),
        "keywords": keywords,
        "is_public": is_public,
        "no_of_hits": "0",
        "approval_status": {"name": "Approved", "id": desk.dialect.id_of(2)},
        "created_time": shown_time(now if created is None else created),
        "created_by": author,
        "last_updated_time": shown_time(now),
        "last_updated_by": author,
        "owner": None,
        "review_date": None,
        "expiry_date": None,
        "attachments": [],
        "has_attachments": False,
    }
    desk.solutions[solution_id] = solution
    return solution


def list_solutions(call: Call) -> Answer:
    """GET /solutions."""
    listed = Listed(
        name="solutions",
        rows=list(call.desk.solutions.values()),
        knows=_FIELDS.__contains__,
        read=read_shown,
        show=_row,
        full=_row,
        default_sort=("id", "asc"),
    )
    return list_answer(listed, call.input_data, call.dialect)


def show_solution(call: Call) -> Answer:
    """GET /solutions/{id}."""
    return entity("solution", _found(call))


def add_solution(call: Call) -> Answer:
    """POST /solutions."""
    given = _given(call)
    if "title" not in given:
        raise missing("title")
    solution = put_solution(call.desk, call.desk.next_id("solution"), **_texts(given, {}))
    call.record.wrote(None, solution["description"])
    return entity("solution", solution, 201)


def edit_solution(call: Call) -> Answer:
    """PUT /solutions/{id}."""
    before = _found(call)
    texts = _texts(_given(call), before)
    created = int(before["created_time"]["value"])
    solution = put_solution(call.desk, before["id"], created=created, **texts)
    call.record.wrote(None, solution["description"])
    return entity("solution", solution)


def _row(solution: Json) -> Json:
    return {key: value for key, value in solution.items() if key not in HTML_FIELDS | {"attachments"}}


def _given(call: Call) -> Json:
    given = only_entity(call.input_data, "solution", call.dialect.extra_key_message)
    check_keys(given, _KEYS, call.dialect.extra_key_message)
    return given


def _texts(given: Json, before: Json) -> dict[str, Any]:
    merged = {"description": "", "topic": {"name": "General"}, "keywords": "", "is_public": True} | before
    merged |= given
    topic = merged["topic"]
    return {
        "title": line_of(merged.get("title"), "title"),
        "content": html_of(merged["description"], "description") or "",
        "topic": line_of(topic.get("name") if isinstance(topic, dict) else topic, "topic"),
        "keywords": str(merged["keywords"]),
        "is_public": bool(merged["is_public"]),
    }


def _found(call: Call) -> Json:
    solution = call.desk.solutions.get(call.path["solution_id"])
    if solution is None:
        raise not_found()
    return solution
