"""The assets that are computed: embeddings and the published snapshot with its checks."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from enhancer_dagster.defs.index.failures import failures_in_words
from enhancer_dagster.defs.index.pulled import GROUP, read_corpus
from enhancer_dagster.defs.index.tenant_partitions import TENANTS
from enhancer_dagster.domain.text import shorten
from enhancer_dagster.search import checks
from enhancer_dagster.search.build import BuildReport, build_index, embed_content
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.embeddings import Progress
from enhancer_dagster.search.follow import FollowedSnapshot
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.quality import sample_neighbours
from enhancer_dagster.search.settings import BuildSettings, SearchSettings
from enhancer_dagster.search.snapshot import Snapshot
from enhancer_dagster.settings import Settings

SAMPLED_TICKETS = 4
STALE_AFTER = timedelta(hours=26)
"""A nightly build and some patience. Dagster looks at the latest build of any tenant."""
CHECKED = {
    checks.ROW_COUNT: "No corpus has collapsed against the last build.",
    checks.DIMENSION: "Every vector has the encoder's dimension, and every row a vector.",
    checks.UNIQUE_IDS: "No id stands twice in a corpus.",
    checks.FINITE: "No vector holds a NaN or an infinity, and all have unit length.",
    checks.ANN_RECALL: "Vectors that are proposed are those that exact search finds, for perturbed texts.",
    checks.FINDS_ITSELF: "A sampled document, searched for with its own text, comes first.",
}
"""What must hold before a snapshot is published. One that fails any of these is not."""


_COUNTS = frozenset({"new", "changed", "removed", "encoded"})


class BuildConfig(dg.Config):
    """How strict a build is."""

    allow_shrinking: bool = False


@dg.asset(
    partitions_def=TENANTS,
    group_name=GROUP,
    deps=["resolved_tickets", "kb_articles"],
    kinds={"sentence_transformers"},
    description="One vector a text; only texts that are new are encoded.",
)
def ticket_embeddings(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """Encode what is new."""
    tenant_id = context.partition_key
    with failures_in_words():
        report = embed_content(
            tenant_id,
            read_corpus(settings, tenant_id),
            settings.index_work,
            BuildSettings.of(settings),
            _progress(context),
        )
    rate = report.new / report.seconds if report.seconds else 0.0
    return dg.MaterializeResult(
        metadata={
            "dagster/partition_row_count": report.texts,
            "new": report.new,
            "seconds": round(report.seconds, 2),
            "docs_per_second": round(rate, 1),
            "model": str(report.model.get("model", "")),
        }
    )


@dg.asset(
    partitions_def=TENANTS,
    group_name=GROUP,
    deps=["ticket_embeddings", "ip_inventory"],
    kinds={"faiss", "bm25"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=STALE_AFTER),
    check_specs=[
        dg.AssetCheckSpec(
            name, asset="ticket_index", description=described, blocking=True, partitions_def=TENANTS
        )
        for name, described in CHECKED.items()
    ],
    description="The published snapshot that tickets are searched with. It replaces the last one only if it "
    "passes its checks.",
)
def ticket_index(
    context: dg.AssetExecutionContext, config: BuildConfig, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Build, check and publish a snapshot."""
    tenant_id = context.partition_key
    with failures_in_words():
        report = build_index(
            tenant_id,
            content := read_corpus(settings, tenant_id),
            settings.index_location,
            settings.index_work,
            BuildSettings.of(settings),
            allow_shrinking=config.allow_shrinking,
            progress=_progress(context),
        )
    yield from _check_results(report)
    if not report.published:
        names = ", ".join(check.name for check in report.failed_checks)
        raise dg.Failure(
            f"not published, the last snapshot goes on serving; failed: {names}", allow_retries=False
        )
    yield dg.MaterializeResult(metadata=_index_metadata(report, content, settings))


def _progress(context: dg.AssetExecutionContext) -> Progress:
    def tell(done: int, total: int, seconds: float) -> None:
        context.log.info(f"{done} of {total} texts encoded in {seconds:.1f} s")

    return tell


def _check_results(report: BuildReport) -> Iterator[dg.AssetCheckResult]:
    for check in report.manifest.checks:
        yield dg.AssetCheckResult(
            check_name=check.name,
            passed=check.passed,
            metadata={"value": check.value, "expected": check.expected, "message": check.message or "fine"},
        )


def _index_metadata(
    report: BuildReport, content: IndexContent, settings: Settings
) -> dict[str, dg.MetadataValue | str | int | float]:
    manifest = report.manifest
    rows = {name: facts.rows for name, facts in manifest.corpora.items()}
    return {
        "dagster/partition_row_count": sum(rows.values()),
        **{f"{name}_rows": count for name, count in rows.items()},
        "inventory_rows": manifest.inventory_rows,
        "megabytes": round(manifest.bytes / 1e6, 2),
        "snapshot": manifest.snapshot_id,
        "model": str(manifest.encoder.get("model", "")),
        **{name: int(v) if name in _COUNTS else v for name, v in manifest.statistics.items()},
        "nearest_neighbours": _neighbours(manifest.tenant_id, content, settings),
    }


def open_published(settings: Settings, tenant_id: str) -> Snapshot:
    """The tenant's live snapshot.

    Raises:
        IndexUnavailableError: Nothing is published, or nothing readable.
    """
    place = TenantLocation(settings.index_location, tenant_id)
    return FollowedSnapshot(place, settings.index_cache, refresh_seconds=0).get()


def _neighbours(tenant_id: str, content: IndexContent, settings: Settings) -> dg.TableMetadataValue:
    """What some tickets would be offered."""
    snapshot = open_published(settings, tenant_id)
    frame = sample_neighbours(snapshot, content.tickets, SearchSettings.of(settings), count=SAMPLED_TICKETS)
    rows = [
        dg.TableRecord(
            {
                "ticket": f"{ticket}: {shorten(subject, 60)}",
                "neighbour": f"{neighbour}: {shorten(its_subject or '', 60)}",
                "score": round(score, 3),
            }
        )
        for ticket, subject, neighbour, its_subject, score in frame.itertuples(index=False, name=None)
    ]
    return dg.MetadataValue.table(rows, schema=_NEIGHBOURS)


_NEIGHBOURS = dg.TableSchema(
    columns=[
        dg.TableColumn("ticket", "string"),
        dg.TableColumn("neighbour", "string"),
        dg.TableColumn("score", "float"),
    ]
)
