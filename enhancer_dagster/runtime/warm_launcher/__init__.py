"""A run launcher that starts runs in milliseconds, in persistent workers that have the code loaded already.

For any Dagster project on Linux whose daemon, webserver and runs share a machine. It knows nothing about
what the runs do. In `dagster.yaml`::

    run_launcher:
      module: enhancer_dagster.runtime.warm_launcher
      class: WarmRunLauncher
      config:
        workers: 16                # slots: runs that execute at the same time
        max_runtime_seconds: 120   # hard limit, where the tag dagster/max_runtime does not say otherwise
        preload: ["my_project.warm:load_models"]
    run_monitoring:
      enabled: true
      poll_interval_seconds: 5
      start_timeout_seconds: 180   # runs may wait that long for a slot
      max_resume_run_attempts: 0

`options.LauncherOptions` has all settings. Nothing else changes: jobs, the UI, terminate, re-execution and
compute logs work as before. What a project should know: a worker serves many runs, so module globals,
environment variables and caches live on from one run to the next (`max_runs_per_worker: 1` gives each run a
process of its own, still forked in milliseconds); the code must not start threads or open connections when
it is imported, for a fork would lose them.

How it works::

    daemon, webserver ── Unix socket ──► dispatcher ──► template, one a code location
      WarmRunLauncher                        │              │ fork
                                             └───────────► workers, one run at a time

- `launcher`: the public `RunLauncher` interface; a thin client.
- The dispatcher (`server`, `dispatcher`, `fleet`) queues runs, gives them to workers, ends them on request
  or at their limit, and reports those that died, and those that nobody hands over since their launcher died.
  It keeps a record of every unfinished run on disk.
- A template (`template_process`) imports the code and forks. A reload of the code location, or a change of a
  loaded file, makes a new one; workers of the old one finish their run. Code that cannot be preloaded runs
  in plain fresh processes, and each such run says why in its events.
- A worker (`worker_process`) opens its database connections after the fork and keeps them. It is replaced
  after a number of runs, on growth, and whenever a run in it was ended by force. Threads that outlive a run
  are its own affair, but for those with a true attribute `ends_with_run`: where such a one goes on after its
  run, the worker is replaced.

Whose child is the dispatcher? The first launch starts it, in a session of its own, so that it survives a
killed daemon with its runs: launchers hold a connection to it, and it ends when for `linger_seconds` there
was no connection and no run. Or a supervisor runs `python -m enhancer_dagster.runtime.warm_launcher serve`
(with DAGSTER_HOME set) next to daemon and webserver: then it lives until it gets SIGTERM, takes the place of
one that was left over, and starts early enough to `warm` the code before the first run. Either way
everything below it ends with it, by the kernel's hand if need be: templates and workers are killed when the
dispatcher dies. What became of its runs is reported by the next dispatcher or by run monitoring, and runs
that still waited start then.
"""

from enhancer_dagster.runtime.warm_launcher.launcher import WarmRunLauncher

__all__ = ["WarmRunLauncher"]
