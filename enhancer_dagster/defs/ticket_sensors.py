"""From the bridge's queue to run requests.

Dagster's sensor loop turns every five seconds, however short a sensor's interval is. A sensor that waits at
the bridge returns the moment a ticket arrives, but then hears nothing until the next turn. So there are
several lanes, alike but for their name: while one is between turns, another is waiting. A ticket goes to one
of them, since the bridge leases it to one.

How many tickets are claimed decides how many wait in Dagster's queue, in the order of their priority, while
the rest waits in the bridge's. Too few, and the workers run dry before the next turn; too many, and leases
run out before the runs start. So there are run slots, and as many more as runs ended in the last two turns:
in a storm the queue holds what is done in ten seconds, and while the LLM is slow it stays short.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil

import dagster as dg

from enhancer_dagster.defs.config import JOB_NAME, run_request
from enhancer_dagster.defs.enhance_ticket import enhance_ticket_job
from enhancer_dagster.defs.run_statuses import ENDED, UNFINISHED
from enhancer_dagster.domain.errors import BridgeUnavailableError, ConfigurationError
from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.settings import Settings

LANES = 3
"""Three were measured to bring the second of two tickets from 2.9 s to 0.4 s (median)."""

TURNS = timedelta(seconds=10)
"""Two turns of Dagster's sensor loop."""


def free_slots(instance: dg.DagsterInstance, slots: int) -> int:
    """How many tickets a lane may claim now: what is free, and no more than its share.

    Lanes do not see each other's claims until these are runs, so a share keeps them together within the
    slots.
    """
    unfinished = instance.get_runs_count(dg.RunsFilter(job_name=JOB_NAME, statuses=UNFINISHED))
    ended = instance.get_runs_count(
        dg.RunsFilter(job_name=JOB_NAME, statuses=ENDED, updated_after=datetime.now(UTC) - TURNS)
    )
    allowed = slots + ended
    return max(0, min(allowed - unfinished, ceil(allowed / LANES)))


def ticket_sensor(lane: int) -> dg.SensorDefinition:
    """The sensor of lane `lane`; lane 1 is called `ticket_sensor`, the others say that they are lanes."""

    @dg.sensor(
        name="ticket_sensor" if lane == 1 else f"ticket_sensor_lane_{lane}",
        job=enhance_ticket_job,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Waits at the bridge for tickets and asks for one run each"
        + ("." if lane == 1 else f"; lane {lane}, which listens while the other lanes are between turns."),
    )
    def sense(
        context: dg.SensorEvaluationContext,
        ports: dg.ResourceParam[Ports],
        settings: dg.ResourceParam[Settings],
    ) -> dg.SensorResult | dg.SkipReason:
        slots = free_slots(context.instance, settings.max_concurrent_tickets)
        if not slots:
            return dg.SkipReason("all run slots are taken")
        try:
            claims = ports.queue.claim(slots, settings.poll_seconds)
        except (BridgeUnavailableError, ConfigurationError) as error:
            return dg.SkipReason(f"the bridge gives no tickets: {error}")
        if not claims:
            return dg.SkipReason("no ticket is waiting")
        return dg.SensorResult(run_requests=[run_request(claim, settings) for claim in claims])

    return sense


def ticket_sensors() -> Sequence[dg.SensorDefinition]:
    """All lanes."""
    return [ticket_sensor(lane) for lane in range(1, LANES + 1)]
