"""What a person wants to see of a run in the Dagster UI."""

from collections.abc import Mapping

import dagster as dg

from enhancer_dagster.domain.outcomes import HistoryRecord
from enhancer_dagster.domain.steps.values import Enhancement, GatheredContext, WrittenSection
from enhancer_dagster.domain.text import shorten

Metadata = Mapping[str, dg.MetadataValue]
TITLE_LENGTH = 100


def of_context(gathered: GatheredContext) -> Metadata:
    """Sources with their scores, and errors."""
    state = gathered.state
    tickets = [(t.source_id, t.similarity_score, t.subject) for t in state.similar_tickets]
    articles = [(a.source_id, a.relevance_score, a.title) for a in state.kb_articles]
    machines = [
        (i.source_id, 1.0, f"{i.hostname or 'unknown'} {i.role or ''}".strip()) for i in state.ip_info
    ]
    rows = [
        dg.TableRecord({"source": source, "score": round(score, 3), "what": shorten(what, TITLE_LENGTH)})
        for source, score, what in (*tickets, *articles, *machines)
    ]
    errors = "\n".join(f"- {e.node_name}: {e.message}" for e in state.errors) or "none"
    return (
        _link(gathered.ticket_url)
        | _taken_from(gathered.taken_from)
        | {
            "sources": dg.MetadataValue.table(rows, schema=_SOURCES),
            "errors": dg.MetadataValue.md(errors),
            "nodes_success": dg.MetadataValue.int(state.nodes_success),
            "nodes_failed": dg.MetadataValue.int(state.nodes_failed),
        }
    )


def of_enhancement(enhancement: Enhancement) -> Metadata:
    """What the model cost, and what the check of its citations did."""
    usage = enhancement.usage
    shown: dict[str, object] = {
        "generated_without_ai": enhancement.generated_without_ai,
        "why_without_ai": enhancement.without_ai_reason,
        "model": usage.model,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
        "llm_seconds": usage.seconds,
        "citations_kept": enhancement.citations_kept,
        "citations_removed": enhancement.citations_removed,
        "sentences_removed": enhancement.sentences_removed,
        "sentences_marked": enhancement.sentences_marked,
        "code_removed": enhancement.code_removed,
    }
    return {name: dg.MetadataValue.text(str(value)) for name, value in shown.items() if value is not None}


def of_section(written: WrittenSection, ticket_url: str | None) -> Metadata:
    """The section as it stands on the ticket."""
    return _link(ticket_url) | {
        "section": dg.MetadataValue.md(written.markdown),
        "writes": dg.MetadataValue.int(written.writes),
    }


def of_record(record: HistoryRecord) -> Metadata:
    """The outcome in short."""
    return {
        "status": dg.MetadataValue.text(record.status.value),
        "processing_time_ms": dg.MetadataValue.int(record.processing_time_ms or 0),
        "correlation_id": dg.MetadataValue.text(str(record.correlation_id)),
    }


def _link(ticket_url: str | None) -> dict[str, dg.MetadataValue]:
    return {"ticket": dg.MetadataValue.url(ticket_url)} if ticket_url else {}


def _taken_from(run_id: str | None) -> dict[str, dg.MetadataValue]:
    return {"taken_from": dg.MetadataValue.dagster_run(run_id)} if run_id else {}


_SOURCES = dg.TableSchema(
    columns=[
        dg.TableColumn("source", "string"),
        dg.TableColumn("score", "float"),
        dg.TableColumn("what", "string"),
    ]
)
