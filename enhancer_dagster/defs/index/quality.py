"""The asset that says how well the published snapshot finds: figures and a plot after each build."""

import time

import dagster as dg

from enhancer_dagster.defs.index.built import open_published
from enhancer_dagster.defs.index.failures import failures_in_words
from enhancer_dagster.defs.index.plots import measures, quality_plot
from enhancer_dagster.defs.index.pulled import GROUP, open_corpus
from enhancer_dagster.defs.index.tenant_partitions import TENANTS
from enhancer_dagster.search.content import read_content
from enhancer_dagster.search.quality import Quality, evaluate, evaluate_all, sample_neighbours
from enhancer_dagster.search.settings import SearchSettings
from enhancer_dagster.settings import Settings

LINKED = "linked_tickets"
"""Name of the figures of tickets that people linked to each other."""

QUERIES = 100
"""A corpus. With a million tickets they take about ten seconds."""


@dg.asset(
    partitions_def=TENANTS,
    group_name=GROUP,
    deps=["ticket_index"],
    kinds={"matplotlib"},
    description="How well the published snapshot finds a document by seven tenths of its words, and how well "
    "its vectors agree with exact search: both drop when something is broken. Where people linked tickets, "
    "how many of those are found.",
)
def retrieval_quality(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """Measure the live snapshot on a sample of its own documents."""
    started = time.monotonic()
    with failures_in_words():
        with open_corpus(settings, context.partition_key) as corpus:
            content, links = read_content(corpus), corpus.links()
        snapshot = open_published(settings, context.partition_key)
        search = SearchSettings.of(settings)
        measured = evaluate_all(snapshot, content, search, queries=QUERIES)
        linked = evaluate(snapshot, content.tickets, search, known=links, queries=QUERIES) if links else None
        if linked and linked.queries:
            measured[LINKED] = linked
        nearest = sample_neighbours(snapshot, content.tickets, search, count=QUERIES)
    best = nearest.drop_duplicates("ticket")["score"].to_list()  # the first of each is its best
    return dg.MaterializeResult(
        metadata={
            "snapshot": snapshot.manifest.snapshot_id,
            "seconds": round(time.monotonic() - started, 2),
            **_figures(measured),
            "measured": _table(measured),
            **({"plot": quality_plot(measured, best, search.tickets.floor)} if measured else {}),
        }
    )


def _figures(measured: dict[str, Quality]) -> dict[str, float]:
    """One entry a figure, so that Dagster draws each over time."""
    return {f"{name}_{key}": value for name, of in measured.items() for key, value in measures(of).items()}


def _table(measured: dict[str, Quality]) -> dg.TableMetadataValue:
    rows = [
        dg.TableRecord({"corpus": name, "queries": of.queries, "source": of.source, **measures(of)})
        for name, of in measured.items()
    ]
    return dg.MetadataValue.table(rows, schema=_MEASURED)


_MEASURED = dg.TableSchema(
    columns=[
        dg.TableColumn("corpus", "string"),
        dg.TableColumn("queries", "int"),
        dg.TableColumn("source", "string", description="What the right answers are known from."),
        dg.TableColumn("recall_at_1", "float", description="Share that came first."),
        dg.TableColumn("recall_at_10", "float", description="Share among the first ten."),
        dg.TableColumn(
            "mean_reciprocal_rank",
            "float",
            description="Mean of 1 / place of what is right.",
        ),
        dg.TableColumn("offered", "float", description="Share among the first ten and above the floor."),
        dg.TableColumn("exact_agreement", "float", description="Of the ten nearest by exact search, found."),
    ]
)
