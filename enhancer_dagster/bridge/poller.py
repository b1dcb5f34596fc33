"""The long poll: a claim that waits for a job."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from enhancer_dagster.bridge.notifications import Wakeups
from enhancer_dagster.bridge.queue import Queue
from enhancer_dagster.domain.tickets import Claim

LOOK_AGAIN_SECONDS = 5.0
"""Back-offs and leases that end wake nobody: a waiting poller looks by itself this often."""


class Poller:
    """Claims jobs for several pollers at once; a job goes to one of them.

    Args:
        queue: Where jobs are.
        wakeups: Says when there may be one.
        look_again: How often a waiting poller looks by itself, in seconds.
    """

    def __init__(self, queue: Queue, wakeups: Wakeups, look_again: float = LOOK_AGAIN_SECONDS) -> None:
        self._queue = queue
        self._wakeups = wakeups
        self._look_again = look_again

    async def claim(
        self, limit: int, wait_seconds: float, is_gone: Callable[[], Awaitable[bool]]
    ) -> Sequence[Claim]:
        """Up to `limit` jobs as soon as there is one; none when the time is over or the bridge shuts down.

        Args:
            limit: Most jobs.
            wait_seconds: Longest wait for the first.
            is_gone: Whether the caller hung up; a job claimed for nobody would wait for its lease to end.

        Raises:
            DatabaseUnavailableError: The queue cannot be read.
        """
        loop = asyncio.get_running_loop()
        over_at = loop.time() + wait_seconds
        while True:
            woken = self._wakeups.mark()
            if self._wakeups.closed or await is_gone():
                return []
            claims = await self._queue.claim(limit)
            left = over_at - loop.time()
            if claims or left <= 0:
                return claims
            await _wait(woken, min(left, self._look_again))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
