"""`enhancer index`: the similar-ticket index of a tenant, built, looked at, measured and taken back."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from enhancer_dagster.cli.common import clear_errors, console, errors, installation, print_json, require_index
from enhancer_dagster.cli.tenants import store
from enhancer_dagster.domain.errors import ConfigurationError, PermanentError
from enhancer_dagster.settings import Settings, load_settings

if TYPE_CHECKING:
    from enhancer_dagster.search.quality import Quality
    from enhancer_dagster.search.status import SnapshotStatus

app = typer.Typer(help="The index of resolved tickets, articles and machines.", no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="Whose index.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command()
def build(
    tenant: Tenant,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything again and notice what was deleted.")
    ] = False,
    allow_shrinking: Annotated[
        bool,
        typer.Option("--allow-shrinking", help="Publish even if most tickets or articles are gone."),
    ] = False,
    json: Json = False,
) -> None:
    """Pull what changed from the service desk, then build, check and publish a new index.

    Where the system is up, Dagster runs it and its UI shows it; else it is done in this process. Schedules do
    the same: hourly what changed, nightly all of it.
    """
    from enhancer_dagster.defs.index.by_hand import rebuild_here
    from enhancer_dagster.runtime.dagster_api import DagsterApi
    from enhancer_dagster.runtime.system import ui_url

    with installation() as settings:
        store(settings).get(tenant)
        api = DagsterApi(ui_url(settings))
        if api.answers():
            run_id = api.launch_rebuild(tenant, full=full, allow_shrinking=allow_shrinking)
            errors.print(f"run {run_id}: {api.url_of(run_id)}", soft_wrap=True)
            api.follow(run_id, lambda line: errors.print(line, highlight=False, markup=False))
        else:
            rebuild_here(settings, tenant, full=full, allow_shrinking=allow_shrinking)
        _show_status(_statuses(settings, [tenant])[:1], json=json)


@app.command()
def status(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None, json: Json = False
) -> None:
    """Which snapshots there are, which one answers, what is in them and whether their checks passed."""
    from enhancer_dagster.search.location import tenants_with_index

    with clear_errors():
        settings = load_settings()
        if tenant:
            require_index(settings, tenant)
        tenants = [tenant] if tenant else tenants_with_index(settings.index_location)
        _show_status(_statuses(settings, tenants), json=json)


@app.command()
def rollback(tenant: Tenant, json: Json = False) -> None:
    """Make the snapshot before the live one live again. The next build publishes a new one as ever."""
    from enhancer_dagster.search.location import TenantLocation
    from enhancer_dagster.search.publish import roll_back

    with clear_errors():
        settings = load_settings()
        require_index(settings, tenant)
        snapshot_id = roll_back(TenantLocation(settings.index_location, tenant), settings.index_work)
    if json:
        print_json({"tenant": tenant, "snapshot": snapshot_id})
    else:
        console.print(f"{snapshot_id} answers now, within a second")


@app.command()
def evaluate(
    tenant: Tenant,
    known: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Tickets that are known to say the same: a heading, then two ids a line, by a tab. "
            "Without it, tickets with words missing must find themselves.",
        ),
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Most that are asked of each kind.")] = 200,
    json: Json = False,
) -> None:
    """How well the live snapshot finds: measured on known duplicates, or on texts with words missing."""
    with clear_errors():
        settings = load_settings()
        require_index(settings, tenant)
        measured = _measured(settings, tenant, _pairs(known) if known else None, queries)
    if json:
        print_json({name: of.__dict__ for name, of in measured.items()})
        return
    table = Table("", "asked", "known from", "MAP", "recall@10", "P@1", "above the floor", "as exact search")
    for name, of in measured.items():
        shares = (of.mean_average_precision, of.recall_at_10, of.precision_at_1, of.offered)
        values = (f"{value:.3f}" for value in (*shares, of.ann_recall_at_10))
        table.add_row(name, str(of.queries), of.source, *values)
    console.print(table)


def _measured(
    settings: Settings, tenant: str, known: dict[str, set[str]] | None, queries: int
) -> "dict[str, Quality]":
    from enhancer_dagster.defs.index.pulled import read_corpus
    from enhancer_dagster.search.quality import evaluate_all
    from enhancer_dagster.search.settings import SearchSettings
    from enhancer_dagster.search.status import open_snapshot

    snapshot = open_snapshot(settings.index_location, tenant, settings.index_cache)
    content = read_corpus(settings, tenant)
    if not content.tickets and not content.articles:
        raise PermanentError(f"the corpus of {tenant!r} is empty: `enhancer index build --tenant {tenant}`")
    return evaluate_all(snapshot, content, SearchSettings.of(settings), known=known, queries=queries)


def _pairs(path: Path) -> dict[str, set[str]]:
    """Ids and those that say the same, both ways."""
    pairs: dict[str, set[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        one, _, other = (part.strip() for part in line.partition("\t"))
        if not (one and other):
            raise ConfigurationError(f"{path}, line {number}: two ids with a tab between them are expected")
        pairs.setdefault(one, set()).add(other)
        pairs.setdefault(other, set()).add(one)
    return pairs


def _statuses(settings: Settings, tenants: Sequence[str]) -> "list[tuple[str, SnapshotStatus]]":
    from enhancer_dagster.search.status import index_status

    return [(tenant, one) for tenant in tenants for one in index_status(settings.index_location, tenant)]


def _show_status(statuses: "Sequence[tuple[str, SnapshotStatus]]", *, json: bool) -> None:
    rows = [_row(tenant, one) for tenant, one in statuses]
    if json:
        print_json(rows)
        return
    table = Table(
        "tenant",
        "snapshot",
        "live",
        "built (UTC)",
        "tickets",
        "articles",
        "machines",
        "MB",
        "checks",
        "model",
    )
    for row in rows:
        cells = (
            row["tickets"], row["articles"], row["machines"], row["megabytes"],
            row["damage"] or f"{row['checks_passed']} of {len(row['checks'])}", row["model"],
        )  # fmt: skip
        built = f"{row['built_at']:%Y-%m-%d %H:%M:%S}" if row["built_at"] else ""
        table.add_row(row["tenant"], row["snapshot"], "yes" if row["live"] else "", built, *map(str, cells))
    console.print(table)


def _row(tenant: str, of: "SnapshotStatus") -> dict[str, Any]:
    manifest = of.manifest
    rows = {name: facts.rows for name, facts in manifest.corpora.items()} if manifest else {}
    checks = [check.model_dump() for check in manifest.checks] if manifest else []
    return {
        "tenant": tenant,
        "snapshot": of.snapshot_id,
        "live": of.is_live,
        "built_at": manifest and manifest.built_at,
        "tickets": rows.get("tickets", 0),
        "articles": rows.get("articles", 0),
        "machines": manifest.inventory_rows if manifest else 0,
        "megabytes": round(manifest.bytes / 1e6, 1) if manifest else 0.0,
        "model": str(manifest.encoder.get("model", "")) if manifest else "",
        "checks": checks,
        "checks_passed": sum(check["passed"] for check in checks),
        "statistics": manifest.statistics if manifest else {},
        "damage": of.damage,
    }
