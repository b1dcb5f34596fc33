"""The worker: executes one run at a time, many over its life, with everything loaded before it was forked."""

import os
import signal
import socket
import sys
import threading

from dagster import DagsterInstance
from dagster import _check as check
from dagster._core.events import EngineEventData
from dagster._core.instance import InstanceRef
from dagster._grpc.impl import core_execute_run
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts

from enhancer_dagster.runtime.warm_launcher.linux import anonymous_memory_mb, name_process
from enhancer_dagster.runtime.warm_launcher.orders import Done, Hello

NO_RUN = "00000000-0000-0000-0000-000000000000"


def main(channel: socket.socket, instance_ref: InstanceRef) -> None:
    """Serve runs until the dispatcher closes the channel; never returns."""
    code = 1
    try:
        become_worker()
        serve(channel, instance_ref)
        code = 0
    except KeyboardInterrupt:
        pass
    finally:
        # As multiprocessing does: what the template registered for its own end is not this process's.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def become_worker() -> None:
    """Lead a process group of its own, take no signal handler or random state from the template."""
    os.setsid()
    name_process("warm-worker")
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:  # the standard library's generator looks after itself
        numpy.seed()


def serve(channel: socket.socket, instance_ref: InstanceRef) -> None:
    """Execute run after run; the instance, and with it the database connections, serves them all."""
    directory = os.getcwd()  # noqa: PTH109
    with DagsterInstance.from_ref(instance_ref) as instance, channel.makefile("rb") as orders:
        instance.get_run_by_id(NO_RUN)  # the first run shall not pay for connecting
        channel.sendall(Hello(pid=os.getpid()).model_dump_json().encode() + b"\n")
        for number, line in enumerate(orders, start=1):
            run_id = line.decode().strip()
            error = execute(instance, run_id, number)
            os.chdir(directory)
            done = Done(
                run_id=run_id,
                memory_mb=anonymous_memory_mb(),
                error=error,
                left_behind=threads_left_behind(),
            )
            channel.sendall(done.model_dump_json().encode() + b"\n")


def threads_left_behind() -> tuple[str, ...]:
    """Threads with a true attribute `ends_with_run` that have not ended: nobody can stop them but an exit."""
    return tuple(one.name for one in threading.enumerate() if getattr(one, "ends_with_run", False))


def execute(instance: DagsterInstance, run_id: str, number: int) -> str | None:
    """Execute a run as `dagster api execute_run` does.

    Args:
        instance: Where the run is.
        run_id: The run.
        number: Of the run in this worker's life, from 1.

    Returns:
        None if Dagster recorded how the run ended, else what went wrong.
    """
    try:
        with capture_interrupts():
            run = check.not_none(instance.get_run_by_id(run_id), f"run {run_id} was deleted")
            job = recon_job_from_origin(check.not_none(run.job_code_origin))
            pid = os.getpid()
            message = f"Executing in warm worker (pid: {pid}), its run number {number}."
            instance.report_engine_event(message, run, EngineEventData.in_process(pid))
            for _ in core_execute_run(job, run, instance, inject_env_vars=True):
                pass
    except BaseException as error:
        # The boundary between user code and worker: the dispatcher looks whether the run's end is recorded.
        return f"{type(error).__name__}: {error}"
    return None
