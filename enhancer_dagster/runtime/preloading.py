"""What a process loads before it forks workers, so that they find it loaded."""

import threading
import time
from collections.abc import Iterable
from importlib import import_module

from dagster._core.instance import InstanceRef
from dagster._serdes.config_class import ConfigurableClassData

from enhancer_dagster.runtime.warm_launcher.linux import count_threads

THREADS_END_SECONDS = 2.0
"""Threads that only helped with the import may take so long to end."""


def call_targets(targets: Iterable[str]) -> None:
    """Call each `package.module:function` without arguments; what it raises is the caller's."""
    for target in targets:
        module, _, function = target.partition(":")
        getattr(import_module(module), function)()


def load_instance_classes(instance_ref: InstanceRef) -> None:
    """Import storage, compute log manager and the like, so that workers find them imported."""
    for part in instance_ref:
        if isinstance(part, ConfigurableClassData):
            import_module(part.module_name)


def remaining_threads() -> str | None:
    """The threads beside the main one that do not end by themselves, in words; None if there are none."""
    give_up_at = time.monotonic() + THREADS_END_SECONDS
    while (count := count_threads()) > 1 and time.monotonic() < give_up_at:
        time.sleep(0.05)
    if count == 1:
        return None
    known = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    return ", ".join([*known, *["a native thread"] * (count - 1 - len(known))])
