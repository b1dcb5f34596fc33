"""What the launcher asks of the Linux kernel: adoption, death with the parent, identity, memory, names."""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
"""See prctl(2)."""

START_TIME_FIELD = 19
"""Of /proc/pid/stat, counted after the command's closing bracket; see proc(5)."""

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when process `parent` ends; end at once if it has ended already."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def name_process(name: str) -> None:
    """Set the name that ps and top show (15 bytes at most)."""
    _libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def identity(pid: int) -> str | None:
    """Boot, process id and start time, which together never come twice; None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot}:{pid}:{fields[START_TIME_FIELD]}"


def is_alive(process: str) -> bool:
    """Whether the process with this identity runs."""
    return identity(int(process.split(":")[1])) == process


def kill_group(process: str) -> None:
    """Kill what is left of the process group that the process with this identity led.

    A group's number is not given away while it has members, so only a living leader with another identity
    can mean that the group is somebody else's.
    """
    pid = int(process.split(":")[1])
    if identity(pid) in {process, None}:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def count_threads() -> int:
    """This process's threads, those that Python does not know included."""
    return len(list(Path("/proc/self/task").iterdir()))


def anonymous_memory_mb() -> float:
    """This process's resident memory that is no mapped file; pages shared since the fork count."""
    resident, shared = Path("/proc/self/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory_mb(pid: int) -> dict[str, float] | None:
    """`pss` (shared pages divided between their users) and `uss` (this process's alone), in MiB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return None
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return {
        "pss": round(kib["Pss"] / 1024, 1),
        "uss": round((kib["Private_Clean"] + kib["Private_Dirty"]) / 1024, 1),
    }


def describe_exit(code: int) -> str:
    """An exit code of `os.waitstatus_to_exitcode` in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    hint = "; without a kill by hand, usually out of memory" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name} (signal {-code}{hint})"
