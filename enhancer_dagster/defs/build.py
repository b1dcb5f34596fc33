"""Puts jobs, sensors, assets and resources together; tests and dry runs put other resources in."""

from collections.abc import Mapping

import dagster as dg

from enhancer_dagster.defs.enhance_ticket import enhance_ticket_job
from enhancer_dagster.defs.index.built import ticket_embeddings, ticket_index
from enhancer_dagster.defs.index.jobs import index_schedules, rebuild_index_job
from enhancer_dagster.defs.index.partitions import tenant_partitions_sensor
from enhancer_dagster.defs.index.pulled import ip_inventory, kb_articles, resolved_tickets
from enhancer_dagster.defs.index.quality import retrieval_quality
from enhancer_dagster.defs.missed_tickets import missed_ticket_sensor
from enhancer_dagster.defs.reconcile import reconcile_sensor
from enhancer_dagster.defs.resources import default_resources
from enhancer_dagster.defs.retention.job import retention_job, retention_schedule
from enhancer_dagster.defs.ticket_sensors import ticket_sensors
from enhancer_dagster.settings import Settings


def build_defs(settings: Settings, resource_overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """All definitions.

    Args:
        settings: Name the times of the schedules and of polling.
        resource_overrides: By name, in place of the resources made from the settings.
    """
    return dg.Definitions(
        jobs=[enhance_ticket_job, rebuild_index_job, retention_job],
        assets=[
            resolved_tickets,
            kb_articles,
            ip_inventory,
            ticket_embeddings,
            ticket_index,
            retrieval_quality,
        ],
        sensors=[
            *ticket_sensors(),
            missed_ticket_sensor(settings),
            reconcile_sensor,
            tenant_partitions_sensor,
        ],
        schedules=[*index_schedules(settings), retention_schedule(settings)],
        resources={**default_resources(), **(resource_overrides or {})},
        # Also for what is materialised by hand: the default executor starts an interpreter for every step.
        executor=dg.in_process_executor,
    )
