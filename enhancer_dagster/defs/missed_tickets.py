"""Asks every tenant's service desk for tickets whose webhook never came, and enqueues them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import dagster as dg
from loguru import logger
from pydantic import TypeAdapter, ValidationError

from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import ConfigurationError, DatabaseUnavailableError
from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.domain.steps.missed import PollPorts, PollReport, Progress, poll
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.settings import Settings

ALL_SECONDS = 45.0
"""For all tenants; Dagster gives a sensor 60 s. Who is not reached is the first of the next turn."""

TENANT_SECONDS = 20.0
THREADS = 8

LONG_AGO = datetime.min.replace(tzinfo=UTC)
_PROGRESS = TypeAdapter(dict[str, Progress])


def missed_ticket_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor, at the interval that `settings` name. Its cursor says how far each tenant is settled."""

    @dg.sensor(
        name="missed_ticket_sensor",
        minimum_interval_seconds=settings.missed_ticket_poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks each service desk for tickets created or changed whose webhook never came.",
    )
    def sense(context: dg.SensorEvaluationContext, ports: dg.ResourceParam[Ports]) -> dg.SensorResult:
        before = _read(context.cursor)
        try:
            tenants = [tenant for tenant in ports.tenants.list_all() if tenant.active]
        except (DatabaseUnavailableError, ConfigurationError) as error:
            return dg.SensorResult(skip_reason=f"the tenants cannot be read: {error}", cursor=context.cursor)
        reports = poll_all(tenants, ports, before)
        after = before | {tenant_id: report.progress for tenant_id, report in reports.items()}
        said = "; ".join(_in_words(tenant_id, report) for tenant_id, report in reports.items())
        return dg.SensorResult(
            skip_reason=said or "there is no active tenant",
            cursor=_PROGRESS.dump_json(after, exclude_none=True).decode(),
        )

    return sense


def poll_all(
    tenants: Sequence[Tenant], ports: Ports, before: Mapping[str, Progress]
) -> Mapping[str, PollReport]:
    """Poll side by side, who was polled longest ago first; what was found, by tenant."""
    everything = Deadline.after(ALL_SECONDS)

    def poll_one(tenant: Tenant) -> PollReport:
        now, progress = datetime.now(UTC), before.get(tenant.tenant_id)
        deadline = everything.within(TENANT_SECONDS)
        with logger.contextualize(tenant_id=tenant.tenant_id):
            try:
                desk = ports.service_desks.connect(tenant)
            except ConfigurationError as error:
                return PollReport(progress or Progress.since(tenant, None), error=str(error))
            asked = PollPorts(desk, ports.history, ports.queue, ports.intake)
            report = poll(tenant, asked, progress, now, deadline)
            if report.enqueued:
                logger.warning("no webhook came for tickets {}: enqueued", ", ".join(report.enqueued))
            if report.error:
                logger.warning("polling for missed tickets goes on later: {}", report.error)
        return report

    def polled_at(tenant: Tenant) -> datetime:
        progress = before.get(tenant.tenant_id)
        return (progress and progress.polled_at) or LONG_AGO

    waiting = sorted(tenants, key=polled_at)
    with ThreadPoolExecutor(THREADS) as threads:
        return dict(zip((one.tenant_id for one in waiting), threads.map(poll_one, waiting), strict=True))


def _read(cursor: str | None) -> dict[str, Progress]:
    try:
        return _PROGRESS.validate_json(cursor or "{}")
    except ValidationError:
        logger.warning("the cursor of missed_ticket_sensor cannot be read: polling starts anew")
        return {}


def _in_words(tenant_id: str, report: PollReport) -> str:
    found = f"enqueued {', '.join(report.enqueued)}" if report.enqueued else "nothing missed"
    others = f" ({report.known} known, {report.not_due} not due)" if report.known or report.not_due else ""
    broken = f", broke off: {report.error}" if report.error else ""
    return f"{tenant_id}: {found}{others}{broken}"
