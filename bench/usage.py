"""What processes cost: CPU seconds, ended children included, and memory with shared pages divided."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 1.0

Roots = Callable[[], Iterable[psutil.Process]]
"""The processes at the top of the trees that are meant, as they are now."""


def cpu_seconds(roots: Iterable[psutil.Process]) -> float:
    """User and system time of the trees below `roots` until now.

    A process that ended is counted with the one that waited for it; on Linux that is its parent or, for an
    orphan, the next ancestor that is a child subreaper.
    """
    total = 0.0
    for process in family(roots):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb(roots: Iterable[psutil.Process]) -> float:
    """Proportional set size of the trees in MB: a page that n processes share counts one n-th for each."""
    return sum(_pss_kb(process.pid) for process in family(roots)) * 1024 / 1e6


def family(roots: Iterable[psutil.Process]) -> list[psutil.Process]:
    """`roots` and all their descendants."""
    family: dict[int, psutil.Process] = {}
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            for process in (root, *root.children(recursive=True)):
                family[process.pid] = process
    return list(family.values())


def open_files(processes: Iterable[psutil.Process]) -> int:
    """File descriptors of `processes`, sockets and pipes among them."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.num_fds()
    return total


@dataclass
class Peak:
    """The most that was seen, in MB."""

    memory_mb: float = 0.0


@contextmanager
def watched_memory(roots: Roots) -> Iterator[Peak]:
    """Look at the memory of the trees once a second until the block ends."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while True:
            peak.memory_mb = max(peak.memory_mb, memory_mb(roots()))
            if done.wait(SAMPLE_SECONDS):
                return

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
