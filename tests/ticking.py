"""A Dagster project of one sensor that asks for a run at each of its ticks."""

import dagster as dg


@dg.op
def note_time() -> None: ...


@dg.job
def tick_job() -> None:
    note_time()


@dg.sensor(job=tick_job, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def tick_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    number = int(context.cursor or 0) + 1
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=str(number))], cursor=str(number))


defs = dg.Definitions(jobs=[tick_job], sensors=[tick_sensor])
