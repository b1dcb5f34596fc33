"""The product's dispatch around four empty ops: queue, lanes, fence, launcher, outputs; a code location."""

import dagster as dg

from bench import empty_steps
from enhancer_dagster.defs.config import JOB_NAME, EnhanceTicketConfig
from enhancer_dagster.defs.resources import default_resources
from enhancer_dagster.defs.ticket_sensors import ticket_sensors
from enhancer_dagster.domain.outcomes import HistoryRecord, HistoryStatus, JobOutcome
from enhancer_dagster.domain.ports import Finish, Ports
from enhancer_dagster.domain.tickets import Claim


@dg.op
def gather_context(
    context: dg.OpExecutionContext, config: EnhanceTicketConfig, ports: dg.ResourceParam[Ports]
) -> Claim:
    """Pass the fence, write history."""
    claim = ports.queue.start(config.job_uuid, config.attempt, context.run_id, None)
    empty_steps.gather(claim.job.ticket_id)
    return claim


@dg.op
def synthesize_enhancement(gathered: Claim) -> Claim:
    """Nothing."""
    empty_steps.synthesize(gathered.job.ticket_id)
    return gathered


@dg.op
def update_ticket(enhancement: Claim) -> Claim:
    """Nothing."""
    empty_steps.update(enhancement.job.ticket_id)
    return enhancement


@dg.op
def record_outcome(context: dg.OpExecutionContext, written: Claim, ports: dg.ResourceParam[Ports]) -> None:
    """Write history, end the job."""
    job = written.job
    empty_steps.record(job.ticket_id)
    row = HistoryRecord(
        correlation_id=written.correlation_id,
        tenant_id=job.tenant_id,
        ticket_id=job.ticket_id,
        job_id=job.job_id,
        status=HistoryStatus.COMPLETED,
        started_at=job.timestamp,
    )
    finish = Finish(JobOutcome.COMPLETED, row, history_written=True)
    ports.queue.finish(job.job_id, written.attempt, context.run_id, finish)


@dg.job(name=JOB_NAME, executor_def=dg.in_process_executor)
def empty_job() -> None:
    """Wires the four ops."""
    record_outcome(update_ticket(synthesize_enhancement(gather_context())))


@dg.definitions
def defs() -> dg.Definitions:
    """The job, and the product's sensors asking for it."""
    return dg.Definitions(
        jobs=[empty_job],
        sensors=[sensor.with_updated_job(empty_job) for sensor in ticket_sensors()],
        resources=default_resources(),
    )
