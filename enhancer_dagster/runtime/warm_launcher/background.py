"""Tasks that nobody awaits, kept alive, their failures logged."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from loguru import logger


class Background:
    """Runs coroutines beside the caller."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Start `coroutine` on the running event loop."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("run launcher: a background task failed")
