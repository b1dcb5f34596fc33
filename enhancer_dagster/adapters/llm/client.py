"""The openai package's side of one call: connections, headers, errors. Takes a second to import.

Its own retries are off, redirects are not followed, so that the key goes to no other host, and an answer is
read up to a limit.
"""

import math
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import cast
from uuid import UUID

import httpx2
import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import SecretStr

from enhancer_dagster.adapters.guarded_loop import refusal_behind
from enhancer_dagster.adapters.llm.answers import MOST_ANSWER_BYTES, failure_of_status
from enhancer_dagster.domain.errors import (
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
)
from enhancer_dagster.domain.ports import Prompt

TEMPERATURE = 0.2
"""Low: the answer shall follow its sources."""

OPENROUTER = "openrouter"


def connect(base_url: str, api_key: SecretStr) -> AsyncOpenAI:
    """A client with a pool of connections, for one event loop of one process."""
    return AsyncOpenAI(
        base_url=base_url,
        api_key=api_key.get_secret_value(),
        max_retries=0,
        # The package takes these two from the environment, whatever gateway it talks to.
        default_headers=cast(
            "dict[str, str]",
            {
                "OpenAI-Organization": openai.omit,
                "OpenAI-Project": openai.omit,
                "Accept-Encoding": "identity",
            },
        ),
        http_client=openai.DefaultAsyncHttpxClient(
            follow_redirects=False, event_hooks={"response": [_limit_size]}
        ),
    )


async def post(
    client: AsyncOpenAI, provider: str, prompt: Prompt, model: str, correlation_id: UUID, seconds: float
) -> bytes:
    """Ask `model` once, and return the body of the answer.

    Raises:
        LanguageModelUnavailableError: No answer; another try may have one.
        KeyRefusedError: The gateway does not accept the key.
        LanguageModelRefusedError: It refuses this model or request, or is at an address to which no
            connection is made.
    """
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": prompt.user},
    ]
    try:
        raw = await client.chat.completions.with_raw_response.create(
            model=model,
            messages=messages,
            max_tokens=prompt.max_answer_tokens,
            temperature=TEMPERATURE,
            extra_headers={"X-Correlation-ID": str(correlation_id)},
            # OpenRouter says what a call cost if it is asked to; other gateways may refuse unknown fields.
            extra_body={"usage": {"include": True}} if provider == OPENROUTER else None,
            timeout=seconds,
        )
    # What the package raises carries the gateway's words, which may echo the key: nothing is chained.
    except openai.APIStatusError as error:
        wait = _seconds(error.response.headers.get("retry-after"))
        raise failure_of_status(model, error.status_code, wait) from None
    except _AnswerTooLargeError:
        raise LanguageModelUnavailableError(
            f"{model}: the answer is compressed or larger than {MOST_ANSWER_BYTES} bytes"
        ) from None
    except openai.APIConnectionError as error:
        refusal = refusal_behind(error)
        if refusal is not None:
            raise LanguageModelRefusedError(f"{model}: {refusal}") from None
        reason = type(error.__cause__ or error).__name__
        raise LanguageModelUnavailableError(f"{model}: no connection to the gateway ({reason})") from None
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        raise LanguageModelUnavailableError(f"{model}: the call failed ({type(error).__name__})") from None
    except (ValueError, TypeError, httpx2.InvalidURL) as error:
        raise LanguageModelRefusedError(
            f"{model}: the gateway's address or key is malformed ({type(error).__name__})"
        ) from None
    return raw.content


class _AnswerTooLargeError(openai.OpenAIError):
    """Raised while a body is read."""


class _Limited(httpx2.AsyncByteStream):
    """A body that ends with an error where it grows beyond the limit."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MOST_ANSWER_BYTES
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise _AnswerTooLargeError
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _limit_size(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        # A small compressed body may become a huge one.
        raise _AnswerTooLargeError
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Limited(response.stream)


def _seconds(header: str | None) -> float | None:
    """A Retry-After header, in seconds from now."""
    try:
        seconds = float(header or "")
    except ValueError:
        return _seconds_until(header or "")
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
