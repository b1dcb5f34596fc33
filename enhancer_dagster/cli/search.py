"""`enhancer search`: what a technician would be offered for a text, and why."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from enhancer_dagster.cli.common import clear_errors, console, print_json, require_index
from enhancer_dagster.domain.section import strip_sections
from enhancer_dagster.domain.text import html_to_text, shorten
from enhancer_dagster.settings import load_settings

if TYPE_CHECKING:
    from enhancer_dagster.domain.context import IpInfo
    from enhancer_dagster.search.corpus_index import Hit
    from enhancer_dagster.search.query import Explanation

EXPLAINED = 10
"""Hits that --explain shows of each kind, offered or not."""
_WORDS_SHOWN = 6
_TITLE_AND_TEXT = {"tickets": ("subject", "resolution"), "articles": ("title", "content")}

Rows = Sequence[dict[str, Any]]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(search)


def search(
    text: Annotated[str, typer.Argument(help="What the ticket says, plain or HTML; - reads it from stdin.")],
    tenant: Annotated[str, typer.Option(help="Whose tickets, articles and machines.")],
    subject: Annotated[str, typer.Option(help="The ticket's subject; its words count more.")] = "",
    leave_out: Annotated[str, typer.Option(help="Id of the ticket itself, which is never offered.")] = "",
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Show what is not offered too, the parts of each score and the common words."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
) -> None:
    """What a technician would be offered for a ticket with this text.

    It asks the published index as a ticket's run does. Nothing has to be running.
    """
    from enhancer_dagster.search.query import SnapshotSearch
    from enhancer_dagster.search.settings import SearchSettings

    said = html_to_text(strip_sections(sys.stdin.read() if text == "-" else text))
    with clear_errors():
        settings = load_settings()
        require_index(settings, tenant)
        index = SnapshotSearch(settings.index_location, settings.index_cache, SearchSettings.of(settings))
        limits = {"tickets": settings.similar_tickets_limit, "articles": settings.kb_articles_limit}
        explained = {
            corpus: index.explain(
                tenant, corpus, subject, said, exclude_id=leave_out, limit=max(EXPLAINED, limit)
            )
            for corpus, limit in limits.items()
        }
        machines = index.inventory(tenant, f"{subject}\n{said}")
    rows = {
        corpus: [row for row in _rows(corpus, of, limits[corpus]) if explain or row["offered"]]
        for corpus, of in explained.items()
    }
    if json:
        print_json(rows | {"inventory": [machine.model_dump(mode="json") for machine in machines]})
        return
    for corpus, of in explained.items():
        _show(corpus, rows[corpus], of, explain=explain)
    _show_machines(machines)


def _rows(corpus: str, explanation: "Explanation", limit: int) -> Iterator[dict[str, Any]]:
    floor = explanation.weights.floor
    for place, hit in enumerate(explanation.hits):
        why_not = f"below {floor}" if hit.score < floor else f"only {limit} are" if place >= limit else ""
        yield {"offered": not why_not, "why_not": why_not, **_row(hit, *_TITLE_AND_TEXT[corpus])}


def _row(hit: "Hit", title: str, text: str) -> dict[str, Any]:
    return {
        "id": hit.record["id"],
        "score": round(hit.score, 4),
        "lexical": round(hit.lexical, 4),
        "dense": round(hit.dense, 4),
        title: hit.record.get(title) or "",
        text: hit.record.get(text) or "",
        "shared_terms": {term: round(share, 4) for term, share in hit.shared_terms},
    }


def _show(corpus: str, rows: Rows, explanation: "Explanation", *, explain: bool) -> None:
    weights, count = explanation.weights, sum(facts.rows for facts in explanation.manifest.corpora.values())
    title, text = _TITLE_AND_TEXT[corpus]
    if not rows:
        console.print(f"{corpus}: none, nothing reaches the floor of {weights.floor}")
        return
    table = Table("id", "score", title, text, title=corpus, title_justify="left")
    if explain:
        table = Table("id", "score", "words", "meaning", "offered", title, "words in common", title=corpus)
        table.caption = (
            f"score = {weights.lexical_weight:g} words + {1 - weights.lexical_weight:g} meaning, "
            f"floor {weights.floor:g}; snapshot {explanation.manifest.snapshot_id}, {count} documents"
        )
    for row in rows:
        shown = (escape(shorten(row[title], 60)), escape(shorten(row[text], 90)))
        if explain:
            common = escape(", ".join(list(row["shared_terms"])[:_WORDS_SHOWN]))
            parts = (f"{row['lexical']:.2f}", f"{row['dense']:.2f}", row["why_not"] or "yes")
            table.add_row(row["id"], f"{row['score']:.2f}", *parts, shown[0], common)
        else:
            table.add_row(row["id"], f"{row['score']:.2f}", *shown)
    console.print(table)


def _show_machines(machines: "Sequence[IpInfo]") -> None:
    if not machines:
        return
    table = Table("address", "name", "role", "last seen (UTC)", title="inventory", title_justify="left")
    for machine in machines:
        seen = f"{machine.last_seen:%Y-%m-%d}" if machine.last_seen else ""
        table.add_row(
            machine.ip or "", escape(machine.hostname or "not known"), escape(machine.role or ""), seen
        )
    console.print(table)
