"""Creates runs and launches them at the same moment; prints their ids."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import LaunchRunContext


def main(home: str, count: int, start_file: Path) -> None:
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

    def launch(run: DagsterRun) -> None:
        with DagsterInstance.get() as instance:
            while not start_file.exists():
                time.sleep(0.001)
            instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))

    print("ready", flush=True)  # noqa: T201
    with ThreadPoolExecutor(count) as threads:
        list(threads.map(launch, runs))
    print("\n".join(run.run_id for run in runs))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
