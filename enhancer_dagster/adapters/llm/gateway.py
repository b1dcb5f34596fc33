"""Several models as one: tried in order, each with its share of the time, until one answers."""

import importlib
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from loguru import logger
from pydantic import SecretStr

from enhancer_dagster.adapters.llm.exchange import KeyRefusedError, process_exchange
from enhancer_dagster.adapters.llm.pricing import Prices, priced
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import (
    ConfigurationError,
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
)
from enhancer_dagster.domain.ports import Completion, Prompt

TRIES = 2
LONGEST_WAIT_SECONDS = 3.0
"""A model that asks for more time than this is left for the next one."""
FIRST_PAUSE_SECONDS = 0.5


class OpenAiGateway:
    """`domain.ports.LanguageModel` over an OpenAI-compatible address.

    While models remain to be tried after it, a model gets its equal share of the time that is left; the last
    one gets all of it.

    Args:
        base_url: Up to and including `/v1`.
        api_key: Bearer token.
        provider: Name for the records, unless the gateway names one itself.
        prices: For gateways that do not say what a call cost.
        allow_http: Whether the address may be `http://`.
        sleep: Waits so many seconds between two tries; injected by tests.

    Raises:
        ConfigurationError: The address is `http://` and that is not allowed.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr,
        provider: str,
        prices: Prices,
        *,
        allow_http: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not base_url.startswith("https://") and not allow_http:
            raise ConfigurationError(
                "ENHANCER_LLM_BASE_URL is not https://; ENHANCER_ALLOW_HTTP=true allows it, for a server "
                "on this machine"
            )
        self._base_url = base_url
        self._api_key = api_key
        self._provider = provider
        self._prices = prices
        self._sleep = sleep

    def complete(
        self, prompt: Prompt, models: Sequence[str], correlation_id: UUID, deadline: Deadline
    ) -> Completion:
        """Ask the first of `models`, and the next ones where it fails.

        Raises:
            LanguageModelUnavailableError: None answered in time.
            LanguageModelRefusedError: All refused, or the key is not accepted.
        """
        failure: LanguageModelUnavailableError | LanguageModelRefusedError | None = None
        for number, model in enumerate(models):
            share = deadline.within(deadline.remaining() / (len(models) - number))
            try:
                return self._ask(prompt, model, correlation_id, share)
            except KeyRefusedError:
                raise
            except (LanguageModelUnavailableError, LanguageModelRefusedError) as error:
                logger.warning("language model: {}", error)
                failure = error
        raise failure or LanguageModelRefusedError("no model is named")

    def _ask(self, prompt: Prompt, model: str, correlation_id: UUID, deadline: Deadline) -> Completion:
        for attempt in range(TRIES):
            try:
                completion = process_exchange(self._base_url, self._api_key).ask(
                    prompt, model, correlation_id, deadline
                )
            except LanguageModelUnavailableError as error:
                pause = FIRST_PAUSE_SECONDS if error.retry_after is None else error.retry_after
                if attempt + 1 == TRIES or pause > min(LONGEST_WAIT_SECONDS, deadline.remaining() / 2):
                    raise
                self._sleep(pause)
            else:
                return self._finished(completion, model)
        raise LanguageModelUnavailableError(f"{model}: not tried")

    def _finished(self, completion: Completion, model: str) -> Completion:
        usage = priced(completion.usage, model, self._prices)
        named = usage.model_copy(update={"provider": usage.provider or self._provider})
        return Completion(completion.text, completion.finish_reason, named)


def preload() -> None:
    """Import what a first call would import."""
    importlib.import_module("openai.resources.chat.completions")
