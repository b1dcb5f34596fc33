"""The product's definitions with its main job on Dagster's default executor; a code location."""

import dagster as dg

from enhancer_dagster.defs.build import build_defs
from enhancer_dagster.defs.enhance_ticket import enhance_ticket_job
from enhancer_dagster.settings import load_settings


@dg.definitions
def defs() -> dg.Definitions:
    """The job on one process an op; its sensors ask for that one."""
    return on_executor(dg.multi_or_in_process_executor)


def on_executor(executor: dg.ExecutorDefinition) -> dg.Definitions:
    """The product's definitions, the main job on `executor`."""
    product = build_defs(load_settings())
    changed = enhance_ticket_job.with_executor_def(executor)
    jobs = [changed if job is enhance_ticket_job else job for job in product.jobs or ()]
    sensors = [
        sensor.with_updated_job(changed) if _asks_for(sensor, changed.name) else sensor
        for sensor in product.sensors or ()
    ]
    return dg.Definitions(
        jobs=jobs,
        assets=product.assets,
        sensors=sensors,
        schedules=product.schedules,
        resources=product.resources,
        executor=product.executor,
    )


def _asks_for(sensor: dg.SensorDefinition, job_name: str) -> bool:
    return any(target.job_name == job_name for target in sensor.targets)
