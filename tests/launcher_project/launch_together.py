"""Creates runs and launches them at the same moment; prints their ids."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import LaunchRunContext


def main(home: str, count: int) -> None:
    """Launch through as many instances as there are threads, each with a launcher of its own."""
    repository = ReconstructableRepository.for_module("location.definitions", "defs", home)
    job = repository.get_reconstructable_job("empty_job")
    with DagsterInstance.get() as instance:
        runs = [
            instance.create_run_for_job(
                job.get_definition(),
                job_code_origin=job.get_python_origin(),
                status=DagsterRunStatus.STARTING,
            )
            for _ in range(count)
        ]

    all_here = Barrier(count + 1)

    def launch(run: DagsterRun) -> None:
        with DagsterInstance.get() as instance:
            launcher = instance.run_launcher
            all_here.wait()
            launcher.launch_run(LaunchRunContext(run, workspace=None))

    with ThreadPoolExecutor(count) as threads:
        launches = [threads.submit(launch, run) for run in runs]
        all_here.wait()
        print("ready", flush=True)  # noqa: T201
        for each in launches:
            each.result()
    print("\n".join(run.run_id for run in runs))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
