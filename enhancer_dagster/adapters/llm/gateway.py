"""Several models as one: tried in order, each with its share of the time, until one answers."""

import importlib
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from loguru import logger
from pydantic import SecretStr
from tenacity import RetryCallState, Retrying, stop_after_attempt

from enhancer_dagster.adapters.llm.answers import KeyRefusedError
from enhancer_dagster.adapters.llm.exchange import process_exchange
from enhancer_dagster.adapters.llm.pricing import Prices, priced
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.destinations import PUBLIC_ONLY, Destinations
from enhancer_dagster.domain.errors import (
    ConfigurationError,
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
)
from enhancer_dagster.domain.ports import Completion, Prompt

TRIES = 2
LONGEST_WAIT_SECONDS = 3.0
"""A model that asks for more time than this is left for the next one."""
SHORT_PAUSE_SECONDS = 0.5
FIRST_SHARE = 2 / 3
"""Of the time that is left, for a model that others follow: the first is the tenant's choice and gets most,
20 s of 30; the next ones get what it leaves, so never less than a third."""


class OpenAiGateway:
    """`domain.ports.LanguageModel` over an OpenAI-compatible address.

    A model gets two thirds of the time that is left, the last one all of it. Within its share a failure that
    may pass is tried once more, after a short pause or the one that the gateway asks for; then the next model
    has its turn. A key that is not accepted ends it at once.

    Args:
        base_url: Up to and including `/v1`.
        api_key: Bearer token.
        provider: The gateway's name, for the records; "openrouter" is asked for its own cost figures.
        prices: For gateways that do not say what a call cost.
        destinations: Where a gateway may be.
        sleep: Waits so many seconds between two tries; injected by tests.

    Raises:
        ConfigurationError: The address is one that is not allowed.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr,
        provider: str,
        prices: Prices,
        *,
        destinations: Destinations = PUBLIC_ONLY,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        refusal = destinations.refusal_of_url(base_url)
        if refusal:
            raise ConfigurationError(f"ENHANCER_LLM_BASE_URL: {refusal}")
        self._base_url = base_url
        self._api_key = api_key
        self._provider = provider
        self._prices = prices
        self._destinations = destinations
        self._sleep = sleep

    def complete(
        self, prompt: Prompt, models: Sequence[str], correlation_id: UUID, deadline: Deadline
    ) -> Completion:
        """Ask the first of `models`, and the next ones where it fails.

        Raises:
            LanguageModelUnavailableError: None answered in time.
            LanguageModelRefusedError: All refused, or the key is not accepted.
        """
        failures: list[LanguageModelUnavailableError | LanguageModelRefusedError] = []
        for number, model in enumerate(models, start=1):
            share = 1.0 if number == len(models) else FIRST_SHARE
            try:
                return self._ask(prompt, model, correlation_id, deadline.within(deadline.remaining() * share))
            except KeyRefusedError:
                raise
            except (LanguageModelUnavailableError, LanguageModelRefusedError) as error:
                logger.warning("language model: {}", error)
                failures.append(error)
        raise _summary(failures)

    def _ask(self, prompt: Prompt, model: str, correlation_id: UUID, deadline: Deadline) -> Completion:
        if deadline.remaining() <= 0:
            raise LanguageModelUnavailableError(f"{model}: no time is left to ask it")
        exchange = process_exchange(self._base_url, self._api_key, self._provider, self._destinations)
        tries = Retrying(
            stop=stop_after_attempt(TRIES),
            retry=lambda state: _may_pass(state, deadline),
            wait=_pause,
            sleep=self._sleep,
            reraise=True,
        )
        completion = tries(exchange.ask, prompt, model, correlation_id, deadline)
        usage = priced(completion.usage, model, self._prices)
        logger.info("language model: {} answered in {} s", usage.model, usage.seconds)
        return Completion(completion.text, completion.finish_reason, usage)


def preload() -> None:
    """Import what a first call would import. Connects to nothing and starts no thread."""
    client = importlib.import_module("enhancer_dagster.adapters.llm.client")
    # Both packages import half of themselves with a client's first use: 60 ms of CPU in every worker.
    _ = client.connect("http://localhost/v1", SecretStr("none")).chat.completions


def _may_pass(state: RetryCallState, deadline: Deadline) -> bool:
    error = state.outcome and state.outcome.exception()
    if not isinstance(error, LanguageModelUnavailableError):
        return False
    return _pause(state) <= min(LONGEST_WAIT_SECONDS, deadline.remaining() / 2)


def _pause(state: RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    asked = error.retry_after if isinstance(error, LanguageModelUnavailableError) else None
    return SHORT_PAUSE_SECONDS if asked is None else asked


def _summary(
    failures: Sequence[LanguageModelUnavailableError | LanguageModelRefusedError],
) -> LanguageModelUnavailableError | LanguageModelRefusedError:
    """One error for all models: unavailable where any of them might answer later."""
    if not failures:
        return LanguageModelRefusedError("no model is named")
    words = "; ".join(map(str, failures))
    passing = [error for error in failures if isinstance(error, LanguageModelUnavailableError)]
    if not passing:
        return LanguageModelRefusedError(words)
    waits = [error.retry_after for error in passing if error.retry_after is not None]
    return LanguageModelUnavailableError(words, retry_after=min(waits, default=None))
