"""The three assets that come from the service desk: resolved tickets, articles, the inventory."""

import time
from collections.abc import Callable

import dagster as dg
from pydantic import Field

from enhancer_dagster.defs.index.failures import failures_in_words
from enhancer_dagster.defs.index.tenant_partitions import TENANTS
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.search.content import IndexContent, read_content
from enhancer_dagster.search.corpus import Corpus
from enhancer_dagster.search.pulls import (
    Pull,
    PullReport,
    pull_articles,
    pull_assets,
    pull_resolved_tickets,
)
from enhancer_dagster.settings import Settings

GROUP = "index"
PULL_SECONDS = 3 * 3600.0


class PullConfig(dg.Config):
    """How much is read."""

    full: bool = Field(
        default=False, description="Read everything and notice what was deleted, not only what changed."
    )


def open_corpus(settings: Settings, tenant_id: str) -> Corpus:
    """A tenant's corpus, to be used in a `with` block."""
    return Corpus(settings.index_work / tenant_id / "corpus.duckdb")


def read_corpus(settings: Settings, tenant_id: str) -> IndexContent:
    """What the tenant's corpus holds now."""
    with open_corpus(settings, tenant_id) as corpus:
        return read_content(corpus)


def _pulled(name: str, description: str, pull: Callable[[Pull], PullReport]) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        partitions_def=TENANTS,
        group_name=GROUP,
        description=description,
        kinds={"duckdb", "pandas"},
    )
    def asset(
        context: dg.AssetExecutionContext,
        config: PullConfig,
        ports: dg.ResourceParam[Ports],
        settings: dg.ResourceParam[Settings],
    ) -> dg.MaterializeResult:
        started = time.monotonic()
        with failures_in_words():
            tenant = ports.tenants.get(context.partition_key)
            desk = ports.service_desks.connect(tenant)
            with open_corpus(settings, tenant.tenant_id) as corpus:
                deadline = Deadline.after(PULL_SECONDS)
                report = pull(Pull(desk, corpus, tenant.index, deadline, config.full, context.log.info))
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": report.total,
                "seen": report.seen,
                "new": report.new,
                "changed": report.changed - report.new,
                "removed": report.removed,
                "seconds": round(time.monotonic() - started, 2),
                "full": config.full,
            }
        )

    return asset


resolved_tickets = _pulled(
    "resolved_tickets", "Closed tickets with their resolutions, as plain text.", pull_resolved_tickets
)
kb_articles = _pulled("kb_articles", "Solutions of the knowledge base, as plain text.", pull_articles)
ip_inventory = _pulled("ip_inventory", "Machines with their addresses and host names.", pull_assets)
