"""The ends of the dispatcher's child processes, those that it adopted included."""

import asyncio
import os
import signal

from enhancer_dagster.runtime.warm_launcher.linux import identity

REMEMBERED_ENDS = 1000


class Children:
    """Reaps every child and tells who waits for it. Belongs to the running event loop."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._ended: dict[int, int] = {}
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    async def end_of(self, pid: int) -> int:
        """Wait for the end of child `pid`; the exit code, or minus the number of the signal."""
        self._reap()
        earlier = self._ended.pop(pid, None)
        if earlier is not None and identity(pid) is None:
            return earlier
        future = asyncio.get_running_loop().create_future()
        self._waiting[pid] = future
        return await future

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._note_end(pid, os.waitstatus_to_exitcode(status))

    def _note_end(self, pid: int, code: int) -> None:
        future = self._waiting.pop(pid, None)
        if future is not None:
            future.set_result(code)
            return
        self._ended[pid] = code
        if len(self._ended) > REMEMBERED_ENDS:
            del self._ended[next(iter(self._ended))]
