"""The worker: executes one run at a time, many over its life, with everything loaded before it was forked."""

import os
import signal
import socket
import sys

from dagster import DagsterInstance
from dagster._core.instance import InstanceRef

from enhancer_dagster.runtime.run_execution import execute_run, forget_random_state, threads_left_behind
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
    forget_random_state()


def serve(channel: socket.socket, instance_ref: InstanceRef) -> None:
    """Execute run after run; the instance, and with it the database connections, serves them all."""
    with DagsterInstance.from_ref(instance_ref) as instance, channel.makefile("rb") as orders:
        instance.get_run_by_id(NO_RUN)  # the first run shall not pay for connecting
        channel.sendall(Hello(pid=os.getpid()).model_dump_json().encode() + b"\n")
        for number, line in enumerate(orders, start=1):
            run_id = line.decode().strip()
            where = f"warm worker (pid: {os.getpid()}), its run number {number}"
            error = execute_run(instance, run_id, where)
            done = Done(
                run_id=run_id,
                memory_mb=anonymous_memory_mb(),
                error=error,
                left_behind=threads_left_behind(),
            )
            channel.sendall(done.model_dump_json().encode() + b"\n")
