"""One call of a chat model, limited as a whole. The only module that knows the openai package.

The package limits each read, so that a server which sends one byte a second would hold a call for ever. Only
cancellation ends it at a point in time: calls run on an event loop in one daemon thread a process, made at
the first call, so after a fork. The package takes a second to import, therefore the functions here import it.
"""

import asyncio
import json
import math
import os
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import SecretStr

from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import LanguageModelRefusedError, LanguageModelUnavailableError
from enhancer_dagster.domain.outcomes import Usage
from enhancer_dagster.domain.ports import Completion, Prompt

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

CONNECT_SECONDS = 5.0
MAX_ANSWER_CHARACTERS = 100_000
TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
KEY_STATUS = frozenset({401, 402, 403})
"""Not about the model: key, credit or permission."""


class KeyRefusedError(LanguageModelRefusedError):
    """The key is not accepted, whichever model is asked."""


class ChatExchange:
    """The connections of one process to one gateway. Get it by `process_exchange`."""

    def __init__(self, base_url: str, api_key: SecretStr) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._client: AsyncOpenAI | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="llm-exchange", daemon=True).start()

    def ask(self, prompt: Prompt, model: str, correlation_id: UUID, deadline: Deadline) -> Completion:
        """Ask `model` once.

        Raises:
            LanguageModelUnavailableError: No usable answer in time; another try may have one.
            KeyRefusedError: The gateway does not accept the key.
            LanguageModelRefusedError: It refuses this model or request.
        """
        import openai

        started = time.monotonic()
        limit = deadline.remaining()
        future = asyncio.run_coroutine_threadsafe(self._ask(prompt, model, correlation_id, limit), self._loop)
        try:
            answer = future.result()
        except TimeoutError as error:
            raise LanguageModelUnavailableError(f"{model}: no answer within {limit:.1f} s") from error
        except openai.APIStatusError as error:
            raise _refusal(error, model) from None
        except openai.OpenAIError as error:
            raise LanguageModelUnavailableError(f"{model}: {type(error).__name__}") from None
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise LanguageModelUnavailableError(f"{model}: the answer is no chat completion") from error
        finally:
            future.cancel()
        return _completion(answer, model, time.monotonic() - started)

    async def _ask(self, prompt: Prompt, model: str, correlation_id: UUID, limit: float) -> dict[str, Any]:
        async with asyncio.timeout(limit):
            raw = await self._openai().chat.completions.with_raw_response.create(
                model=model,
                messages=[
                    {"role": "system", "content": prompt.system},
                    {"role": "user", "content": prompt.user},
                ],
                max_tokens=prompt.max_answer_tokens,
                temperature=0.2,
                extra_headers={"X-Correlation-ID": str(correlation_id)},
                extra_body={"usage": {"include": True}},
                timeout=limit,
            )
        answer = json.loads(raw.text)
        if not isinstance(answer, dict):
            raise TypeError("not an object")
        return answer

    def _openai(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        if self._client is None:
            self._client = AsyncOpenAI(
                base_url=self._base_url, api_key=self._api_key.get_secret_value(), max_retries=0
            )
        return self._client


def process_exchange(base_url: str, api_key: SecretStr) -> ChatExchange:
    """The exchange of this process with this gateway."""
    return _exchange(base_url, api_key, os.getpid())


@lru_cache(maxsize=8)
def _exchange(base_url: str, api_key: SecretStr, process_id: int) -> ChatExchange:
    return ChatExchange(base_url, api_key)


def _refusal(
    error: "APIStatusError", model: str
) -> LanguageModelUnavailableError | LanguageModelRefusedError:
    status = error.status_code
    if status in KEY_STATUS:
        return KeyRefusedError(f"the gateway refuses the key or its credit (HTTP {status})")
    if status in TRANSIENT_STATUS or status >= 500:
        wait = _seconds(error.response.headers.get("retry-after"))
        return LanguageModelUnavailableError(f"{model}: HTTP {status}", retry_after=wait)
    return LanguageModelRefusedError(f"{model}: the gateway refuses the request (HTTP {status})")


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _completion(answer: dict[str, Any], model: str, seconds: float) -> Completion:
    try:
        choice = answer["choices"][0]
        text = choice["message"]["content"] or ""
        reason = choice.get("finish_reason")
        spent = answer.get("usage") or {}
        usage = Usage(
            provider=answer.get("provider"),
            model=answer.get("model") or model,
            prompt_tokens=spent.get("prompt_tokens"),
            completion_tokens=spent.get("completion_tokens"),
            cost_usd=spent.get("cost"),
            seconds=round(seconds, 3),
        )
        return Completion(str(text)[:MAX_ANSWER_CHARACTERS], reason and str(reason), usage)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise LanguageModelUnavailableError(f"{model}: the answer is no chat completion") from error
