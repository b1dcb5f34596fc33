"""How many signed webhooks the bridge takes in, each answered after its commit.

The sender is a process of its own; every webhook is about another ticket, so that none is merged. First
as fast as answers come, over a number of connections; then 200 a second by the clock, where the latency
counts from the moment a webhook was due, so that a slow answer does not hide the wait of the next. The
bridge's rate limits are raised; nothing else runs but PostgreSQL.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import psycopg
import typer

from bench.deployment import add_tenant, bench_folder, bench_settings
from bench.latencies import percentile
from bench.report import show_json, show_table
from bench.services import bench_environment
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.runtime.installation import environment_of, ready_installation
from enhancer_dagster.runtime.supervisor import Program, Supervisor
from enhancer_dagster.runtime.system import REPOSITORY, answers
from enhancer_dagster.settings import Settings

STEADY_PER_SECOND = 200
UNLIMITED = 1_000_000.0
_LIMITS = dict.fromkeys(
    (
        "webhook_rate_per_address",
        "webhook_burst_per_address",
        "webhook_rate_per_tenant",
        "webhook_burst_per_tenant",
    ),
    UNLIMITED,
)


def main(
    webhooks: Annotated[int, typer.Option(min=1, help="For the throughput.")] = 10_000,
    connections: Annotated[int, typer.Option(min=1, help="That the sender keeps open.")] = 64,
    seconds: Annotated[float, typer.Option(min=1, help="For the latency at 200 a second.")] = 15.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Webhooks a second, and the latency at 200 a second."""
    with running_bridge() as (settings, tenant):
        _send(settings, tenant, 200, connections, None)
        fast = _send(settings, tenant, webhooks, connections, None)
        steady = _send(settings, tenant, round(STEADY_PER_SECOND * seconds), connections, STEADY_PER_SECOND)
        _require_kept(settings, 200 + webhooks + round(STEADY_PER_SECOND * seconds))
    figures = {
        "webhooks_per_s": round(webhooks / fast["seconds"], 1),
        "p99_ms_at_200": round(1000 * percentile(steady["latencies"], 99), 1),
    }
    if as_json:
        show_json(figures | {"limits": _LIMITS})
    else:
        title = f"{webhooks} signed webhooks; rates and bursts limited to {UNLIMITED:,.0f}"
        show_table(title, ("measure", "value"), list(figures.items()))


@contextmanager
def running_bridge() -> Iterator[tuple[Settings, Tenant]]:
    """A bridge without limits and a tenant that it knows, on a database of its own."""
    with bench_folder() as folder, ready_installation(bench_settings(folder, **_LIMITS)) as ready:
        tenant = add_tenant(ready, "http://127.0.0.1:9")
        supervisor = Supervisor(environment_of(ready), folder / "logs")
        ready_url = f"{ready.webhook_base}/readyz"
        command = (sys.executable, "-m", "enhancer_dagster.bridge")
        try:
            supervisor.start(Program("bridge", command, answers(ready_url)))
            yield ready, tenant
        finally:
            supervisor.stop()


def _send(
    settings: Settings, tenant: Tenant, count: int, connections: int, per_second: float | None
) -> dict[str, Any]:
    order = {
        "base_url": settings.webhook_base,
        "tenant_id": tenant.tenant_id,
        "secret": tenant.webhook_secrets[0].get_secret_value(),
        "count": count,
        "connections": connections,
        "per_second": per_second,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.webhook_sender"],
        input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True, cwd=REPOSITORY,
        env=bench_environment(),
    )  # fmt: skip
    return json.loads(done.stdout)


def _require_kept(settings: Settings, count: int) -> None:
    """Every webhook that was accepted is a job in the database.

    Raises:
        SystemExit: One is missing.
    """
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        row = connection.execute("SELECT count(*) FROM bridge.jobs").fetchone()
    if row is None or row[0] != count:
        raise SystemExit(f"{count} webhooks were accepted, but the queue has {row and row[0]}")
