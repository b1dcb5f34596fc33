"""Dagster's `CeleryRunLauncher` for runs that may not get lost with a host; Redis is broker and backend.

For any Dagster project whose runs execute on Celery workers of several hosts. It knows nothing about what the
runs do. In the `dagster.yaml` of daemon, webserver and workers::

    run_launcher:
      module: enhancer_dagster.runtime.celery_launcher
      class: RedisCeleryRunLauncher
      config:
        redis_url: {env: REDIS_URL}
        max_runtime_seconds: 21600    # hard limit, where the tag dagster/max_runtime does not say otherwise
        queues: {heavy_job: heavy}    # the queue of a job; all others go to `dagster`
        preload: ["my_project.definitions:defs", "my_project.warm:load_models"]
    run_monitoring:
      enabled: true
      poll_interval_seconds: 5
      start_timeout_seconds: 180      # runs may wait that long for a worker
      max_resume_run_attempts: 0

A worker, on any host that has the code, DAGSTER_HOME and that file, takes the arguments of `celery worker`::

    python -m enhancer_dagster.runtime.celery_launcher --concurrency 16 --queues dagster --hostname runs@%h

What it adds to the launcher that `dagster_celery` ships:

- Workers fork processes that have code and models loaded, keep one instance and its connections, and serve
  many runs (`worker`, `process`).
- A run belongs to one worker (`claims`). Whoever executes it claims it in Redis first and says every few
  seconds that it is alive. Of two deliveries of a task one finds the run claimed and leaves it alone, so late
  acknowledgement is safe: a task that a lost worker had received but not begun goes to another one.
- A lost worker is noticed within `claims.NOTICED_SECONDS`, by run monitoring or, where the run had not
  started yet, by the worker that gets its task next. The stock launcher waits for the run's `max_runtime`.
- `terminate` says how it ended: a run that no worker has claimed is canceled at once and never begins.
- The limit of a run is the task's hard time limit, too: its process is killed.

A worker that was cut off and comes back goes on with its runs, though they may have been marked as failed
meanwhile. Nothing in Dagster could stop it at a distance; what a run does outside has to be guarded where it
is done.
"""

from enhancer_dagster.runtime.celery_launcher.launcher import RedisCeleryRunLauncher

__all__ = ["RedisCeleryRunLauncher"]
