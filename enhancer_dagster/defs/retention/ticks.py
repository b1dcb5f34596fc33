"""Old ticks of sensors and schedules."""

from datetime import datetime

import dagster as dg
from dagster._core.scheduler.instigation import TickStatus

TOLD = (TickStatus.SUCCESS, TickStatus.FAILURE)


def prune_ticks(instance: dg.DagsterInstance, before: datetime, skipped_before: datetime) -> int:
    """Forget ticks that are older than that; returns of how many sensors and schedules.

    Args:
        instance: Whose.
        before: For ticks that requested something or failed.
        skipped_before: For those that found nothing to do: every sensor has one each five seconds.
    """
    states = instance.all_instigator_state()
    for state in states:
        ids = (state.instigator_origin_id, state.selector_id)
        instance.purge_ticks(*ids, before.timestamp(), list(TOLD))
        instance.purge_ticks(*ids, skipped_before.timestamp(), [TickStatus.SKIPPED])
    return len(states)
