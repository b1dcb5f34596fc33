"""The code location: jobs that end in every way a run can end. Tests copy it and edit the copy."""

import ctypes
import os
import socket
import sys
import threading
import time
from pathlib import Path

import dagster as dg
from location.version import VERSION


class Nap(dg.Config):
    seconds: float = 60.0


class Growth(dg.Config):
    megabytes: int


class Address(dg.Config):
    port: int


class Signpost(dg.Config):
    path: str


@dg.op
def first() -> int:
    return 1


@dg.op
def step(value: int) -> int:
    return value + 1


@dg.job(executor_def=dg.in_process_executor)
def empty_job() -> None:
    step.alias("fourth")(step.alias("third")(step.alias("second")(first())))


@dg.op
def sleep(config: Nap) -> None:
    time.sleep(config.seconds)


@dg.op
def wait_for_the_network(config: Address) -> None:
    with socket.create_connection(("127.0.0.1", config.port)) as connection:
        connection.recv(1)


@dg.op
def lock_up() -> None:
    """Lock a C mutex twice: no signal ends that, and it takes no processor time."""
    mutex = ctypes.create_string_buffer(128)
    libc = ctypes.CDLL(None)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


@dg.op
def give_in_slowly(config: Signpost) -> None:
    """Answer an interrupt by ending well, a moment later."""
    Path(config.path).touch()
    try:
        time.sleep(60)
    except BaseException:
        time.sleep(0.2)


@dg.op
def tell_version() -> dg.Output[str]:
    return dg.Output(VERSION, metadata={"version": VERSION, "pid": os.getpid()})


@dg.op
def print_lines() -> None:
    print("on stdout")  # noqa: T201
    print("on stderr", file=sys.stderr)  # noqa: T201
    os.write(1, b"from below Python\n")


GROWN: list[bytes] = []


@dg.op
def grow(config: Growth) -> None:
    GROWN.append(os.urandom(1) * (config.megabytes * 2**20))


@dg.op
def start_process(config: Signpost) -> None:
    """Leave a process behind and wait."""
    Path(config.path).write_text(str(os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")))
    time.sleep(60)


class _OfTheRun(threading.Thread):
    ends_with_run = True


def _turn_for_ever() -> None:
    while True:
        pass


@dg.op
def leave_a_loop_behind() -> dg.Output[str]:
    """Give up waiting for a thread that computes for ever."""
    _OfTheRun(target=_turn_for_ever, name="endless", daemon=True).start()
    return dg.Output("gave up", metadata={"pid": os.getpid()})


def job_of(op: dg.OpDefinition) -> dg.JobDefinition:
    @dg.job(name=f"{op.name}_job", executor_def=dg.in_process_executor)
    def job() -> None:
        op()

    return job


OPS = [
    sleep,
    wait_for_the_network,
    lock_up,
    give_in_slowly,
    tell_version,
    print_lines,
    grow,
    start_process,
    leave_a_loop_behind,
]

defs = dg.Definitions(jobs=[empty_job, *map(job_of, OPS)])
