"""The template: loads the code of a location, then does nothing but fork workers that have it loaded.

It must be alone in its process when it forks: a thread would be missing in the child, with every lock that it
held. So it opens no connection and runs no event loop, and refuses to serve if the code that it loaded
started threads.
"""

import gc
import os
import socket
import sys
import sysconfig
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from dagster._core.instance import InstanceRef
from dagster._core.origin import RepositoryPythonOrigin
from dagster._serdes import deserialize_value
from dagster._utils.hosted_user_process import recon_repository_from_origin

from enhancer_dagster.runtime.preloading import call_targets, load_instance_classes, remaining_threads
from enhancer_dagster.runtime.warm_launcher import worker_process
from enhancer_dagster.runtime.warm_launcher.linux import die_with_parent, name_process
from enhancer_dagster.runtime.warm_launcher.orders import Load, Loaded


def main(channel_number: int, dispatcher: int) -> None:
    """Load what the first message on the channel says, answer, then fork for each byte that follows."""
    die_with_parent(dispatcher)
    name_process("warm-template")
    channel = socket.socket(fileno=channel_number)
    channel.set_inheritable(False)
    with channel.makefile("rb") as messages:
        request = Load.model_validate_json(messages.readline())
    loaded = load(request)
    channel.sendall(loaded.model_dump_json().encode() + b"\n")
    if loaded.error is None:
        fork_workers(channel, deserialize_value(request.instance, InstanceRef), dispatcher)


def load(request: Load) -> Loaded:
    """Import and call everything; whatever the code raises becomes the answer's `error`."""
    started = time.time_ns()
    try:
        load_instance_classes(deserialize_value(request.instance, InstanceRef))
        origin = deserialize_value(request.origin, RepositoryPythonOrigin)
        recon_repository_from_origin(origin).get_definition().get_all_jobs()
        call_targets(request.preload)
    except (Exception, SystemExit) as error:
        return Loaded(files=edit_times(involved_files(error), started), error=describe(error))
    names = remaining_threads()
    problem = f"loading it left threads running ({names}), which a fork would lose" if names else None
    return Loaded(files=edit_times((), started), error=problem)


def edit_times(more: Iterable[str], started: int) -> dict[str, int]:
    """Modification times (ns) of the loaded files that are not an installed library's.

    A file that was written after `started` may have been read before: its time is given as 0, so that it
    counts as changed.
    """
    paths = {module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
    times: dict[str, int] = {}
    for path in {str(Path(path).absolute()) for path in (*paths, *more) if path}:
        if not is_library(path) and (file := Path(path)).exists():
            written = file.stat().st_mtime_ns
            times[path] = written if written < started else 0
    return times


def is_library(path: str) -> bool:
    """Whether a file is the interpreter's or an installed package's, which nobody edits in place."""
    folders = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    return "/site-packages/" in path or "/dist-packages/" in path or path.startswith(folders)


def involved_files(error: BaseException) -> list[str]:
    """The files in an error's traceback, and the one with the syntax error: they are no loaded modules."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    frames = [frame.filename for e in chain for frame in traceback.extract_tb(e.__traceback__)]
    return [*frames, *(e.filename for e in chain if isinstance(e, SyntaxError) and e.filename)]


def describe(error: BaseException) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:1000]


def fork_workers(channel: socket.socket, instance_ref: InstanceRef, dispatcher: int) -> None:
    """Fork a worker for each channel received, until the dispatcher closes this one."""
    gc.collect()
    gc.freeze()  # keeps the collector from writing to, and so copying, pages shared with the workers
    while True:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not descriptors:
            return
        child = os.fork()
        if child == 0:
            channel.close()
            fork_orphan(descriptors[0], instance_ref, dispatcher)
        os.close(descriptors[0])
        os.waitpid(child, 0)


def fork_orphan(descriptor: int, instance_ref: InstanceRef, dispatcher: int) -> None:
    """Fork the worker and end, so that the dispatcher, which adopts orphans, becomes its parent.

    It sees its end then, and a template may go before its workers.
    """
    middle = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == middle:
        time.sleep(0.0002)
    die_with_parent(dispatcher)
    worker_process.main(socket.socket(fileno=descriptor), instance_ref)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
