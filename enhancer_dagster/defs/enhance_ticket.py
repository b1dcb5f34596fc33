"""The main job: one run enhances one ticket.

`gather_context` → `synthesize_enhancement` → `update_ticket` → `record_outcome`. A ticket that is not due
ends after the first op, and the others are skipped.
"""

from collections.abc import Iterator

import dagster as dg
from loguru import logger

from enhancer_dagster.defs import metadata
from enhancer_dagster.defs.attempts import JobKey, RunClock, admitted, key_of, pass_fence
from enhancer_dagster.defs.config import JOB_NAME, EnhanceTicketConfig
from enhancer_dagster.domain.outcomes import JobOutcome
from enhancer_dagster.domain.ports import Finish, Ports
from enhancer_dagster.domain.section import render_section
from enhancer_dagster.domain.steps import gather, record, synthesize, write_back
from enhancer_dagster.domain.steps.values import Enhancement, GatheredContext, WrittenSection
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.settings import Settings

UPDATE_SECONDS = 60.0
"""For all reads and writes of a write-back; a service desk that needs more is down for this run."""


@dg.op(out=dg.Out(GatheredContext, is_required=False, description="Missing where the ticket is not due."))
def gather_context(
    context: dg.OpExecutionContext,
    config: EnhanceTicketConfig,
    ports: dg.ResourceParam[Ports],
    settings: dg.ResourceParam[Settings],
    clock: dg.ResourceParam[RunClock],
) -> Iterator[dg.Output[GatheredContext]]:
    """Read the ticket, see whether it is due, and search for what bears on it."""
    key = JobKey(config.job_uuid, config.tenant_id, config.ticket_id, config.correlation_uuid, config.attempt)
    with admitted(context, key, ports, clock) as admission:
        run = admission.run
        logger.info("enhancement of ticket {} starts, attempt {}", run.ticket_id, run.attempt)
        tenant = ports.tenants.get(run.tenant_id)
        desk = ports.service_desks.connect(tenant, run.correlation_id)
        sources = gather.ContextPorts(desk, ports.search, ports.history, ports.queue, ports.earlier)
        found = gather.gather_context(
            admission.claim, run, tenant, sources, context_limits(settings), clock.soft_limit
        )
        if isinstance(found, gather.NotDue):
            context.log.info(f"not due: {found.reason}")
            finish = Finish(JobOutcome.COMPLETED, record.skipped_record(run, clock.now()), error=found.reason)
            record.conclude(finish, run, ports.history, ports.queue)
            return
        yield dg.Output(found, metadata=metadata.of_context(found))


@dg.op
def synthesize_enhancement(
    context: dg.OpExecutionContext,
    gathered: GatheredContext,
    ports: dg.ResourceParam[Ports],
    settings: dg.ResourceParam[Settings],
    clock: dg.ResourceParam[RunClock],
) -> Enhancement:
    """Let the tenant's model write recommendations, and keep what its sources back."""
    with admitted(context, key_of(gathered), ports, clock, gathered) as admission:
        enhancement = ports.earlier.enhancement(gathered.taken_from) if gathered.taken_from else None
        if enhancement is None:
            tenant = ports.tenants.get(gathered.run.tenant_id)
            enhancement = synthesize.synthesize(
                gathered.model_copy(update={"run": admission.run}),
                model_choice(tenant, ports, settings),
                ports.language_model,
                clock.now(),
                clock.soft_limit.within(settings.llm_timeout_seconds),
                gathered.allowed_links(tenant),
                tenant.personal_data,
            )
        context.add_output_metadata(metadata.of_enhancement(enhancement))
    return enhancement


@dg.op
def update_ticket(
    context: dg.OpExecutionContext,
    gathered: GatheredContext,
    enhancement: Enhancement,
    ports: dg.ResourceParam[Ports],
    clock: dg.ResourceParam[RunClock],
) -> WrittenSection:
    """Put the section on the ticket, once, whatever happened before."""
    key = key_of(gathered)
    with admitted(context, key, ports, clock, gathered, enhancement) as admission:
        if gathered.run.run_id != context.run_id:
            ports.earlier.keep(context.run_id, gathered, enhancement)
        tenant = ports.tenants.get(key.tenant_id)
        section = render_section(
            enhancement.content,
            key.correlation_id,
            enhancement.generated_at,
            without_ai=enhancement.generated_without_ai,
            links=gathered.allowed_links(tenant),
        )
        task = write_back.WriteTask(
            admission.run,
            section.html,
            write_back.WritePorts(
                ports.service_desks.connect(tenant, key.correlation_id), ports.history, ports.queue
            ),
            before_write=lambda: pass_fence(context, key, ports, clock),
            deadline=clock.write_limit.within(UPDATE_SECONDS),
        )
        note_id, writes = write_back.write(task, tenant.write_back)
        written = WrittenSection(
            markdown=section.markdown, written_at=clock.now(), note_id=note_id, writes=writes
        )
        context.add_output_metadata(metadata.of_section(written, gathered.ticket_url))
    return written


@dg.op
def record_outcome(
    context: dg.OpExecutionContext,
    gathered: GatheredContext,
    enhancement: Enhancement,
    written: WrittenSection,
    ports: dg.ResourceParam[Ports],
    clock: dg.ResourceParam[RunClock],
) -> None:
    """Write the history row and complete the job."""
    with admitted(context, key_of(gathered), ports, clock, gathered, enhancement) as admission:
        this_run = gathered.model_copy(update={"run": admission.run})
        row = record.completed_record(this_run, enhancement, written, clock.now())
        record.conclude(Finish(JobOutcome.COMPLETED, row), admission.run, ports.history, ports.queue)
        context.add_output_metadata(metadata.of_record(row))
        logger.info("ticket {} is enhanced in {} ms", row.ticket_id, row.processing_time_ms)


@dg.job(
    name=JOB_NAME,
    executor_def=dg.in_process_executor,
    description="Enhances one ticket: context, recommendations, write-back, history.",
)
def enhance_ticket_job() -> None:
    """Wires the four ops."""
    gathered = gather_context()
    enhancement = synthesize_enhancement(gathered)
    written = update_ticket(gathered, enhancement)
    record_outcome(gathered, enhancement, written)


def context_limits(settings: Settings) -> gather.ContextLimits:
    """The settings that bound context gathering."""
    return gather.ContextLimits(
        node_seconds=settings.node_timeout_seconds,
        total_seconds=settings.context_timeout_seconds,
        similar_tickets=settings.similar_tickets_limit,
        kb_articles=settings.kb_articles_limit,
    )


def model_choice(tenant: Tenant, ports: Ports, settings: Settings) -> synthesize.ModelChoice:
    """Which models may write for `tenant`: its own, else the installation's."""
    own = tenant.language_model
    if ports.language_model is None:
        return synthesize.ModelChoice((), ports.why_no_language_model)
    if not own.enabled:
        return synthesize.ModelChoice((), "the tenant has switched the LLM off")
    fallbacks = settings.llm_fallback_models if own.fallback_models is None else own.fallback_models
    return synthesize.ModelChoice((own.model or settings.llm_model, *fallbacks))
