"""One call of a chat model, limited as a whole.

The openai package limits each read, so that a server which sends one byte a second would hold a call for
ever. Only cancellation ends it at a point in time: calls run on an event loop in one daemon thread a process,
made at the first call, so after a fork.
"""

import asyncio
import os
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import SecretStr

from enhancer_dagster.adapters.guarded_loop import GuardedEventLoop
from enhancer_dagster.adapters.llm.answers import completion_of
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.destinations import Destinations
from enhancer_dagster.domain.errors import LanguageModelUnavailableError
from enhancer_dagster.domain.ports import Completion, Prompt

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_making = threading.Lock()


class ChatExchange:
    """The connections of one process to one gateway. Get it by `process_exchange`."""

    def __init__(self, base_url: str, api_key: SecretStr, provider: str, destinations: Destinations) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._provider = provider
        self._client: AsyncOpenAI | None = None
        self._loop = GuardedEventLoop(destinations)
        threading.Thread(target=self._loop.run_forever, name="llm-exchange", daemon=True).start()

    def ask(self, prompt: Prompt, model: str, correlation_id: UUID, deadline: Deadline) -> Completion:
        """Ask `model` once.

        Raises:
            LanguageModelUnavailableError: No usable answer in time; another try may have one.
            KeyRefusedError: The gateway does not accept the key.
            LanguageModelRefusedError: It refuses this model or request.
        """
        started = time.monotonic()
        call = self._post(prompt, model, correlation_id, deadline.remaining())
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            body = future.result()
        finally:
            # Whoever waits may be interrupted; the call then ends, too.
            future.cancel()
        return completion_of(body, model, self._provider, time.monotonic() - started)

    async def _post(self, prompt: Prompt, model: str, correlation_id: UUID, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                # In a process that did not preload, this second counts as well.
                from enhancer_dagster.adapters.llm import client

                if self._client is None:
                    self._client = client.connect(self._base_url, self._api_key)
                return await client.post(self._client, self._provider, prompt, model, correlation_id, seconds)
        except TimeoutError:
            raise LanguageModelUnavailableError(f"{model}: no answer within {seconds:.1f} s") from None


def process_exchange(
    base_url: str, api_key: SecretStr, provider: str, destinations: Destinations
) -> ChatExchange:
    """The exchange of this process with this gateway."""
    with _making:
        return _exchange(base_url, api_key, provider, destinations, os.getpid())


@lru_cache(maxsize=8)
def _exchange(
    base_url: str, api_key: SecretStr, provider: str, destinations: Destinations, process_id: int
) -> ChatExchange:
    return ChatExchange(base_url, api_key, provider, destinations)
