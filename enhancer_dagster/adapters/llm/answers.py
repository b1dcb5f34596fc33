"""What a gateway answered, read with suspicion: any shape may come, and only a completion gets through."""

import re
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from enhancer_dagster.domain.errors import LanguageModelRefusedError, LanguageModelUnavailableError
from enhancer_dagster.domain.outcomes import Usage
from enhancer_dagster.domain.ports import Completion
from enhancer_dagster.domain.redaction import without_credentials
from enhancer_dagster.domain.text import shorten

MOST_ANSWER_BYTES = 1_000_000
LONGEST_MODEL_NAME = 100
MOST_TOKENS = 2**31 - 1

_KEY_STATUS = frozenset({401, 402, 403})
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})

Tokens = Annotated[int | None, Field(ge=0, le=MOST_TOKENS)]


class KeyRefusedError(LanguageModelRefusedError):
    """Key, credit or permission: no other model would be answered either."""


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Failure(BaseModel):
    code: Any = None

    @property
    def status(self) -> int:
        code = str(self.code)
        return int(code) if re.fullmatch("[345][0-9]{2}", code) else HTTPStatus.BAD_GATEWAY


class _Answer(BaseModel):
    choices: list[_Choice] = []
    model: str | None = None
    usage: Any = None
    error: _Failure | None = None


class _Spent(BaseModel):
    prompt_tokens: Tokens = None
    completion_tokens: Tokens = None
    cost: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None


def completion_of(body: bytes, asked_model: str, provider: str, seconds: float) -> Completion:
    """The completion in the body of a successful call.

    Args:
        body: As it came.
        asked_model: For gateways that do not name the model that served.
        provider: The gateway's name.
        seconds: How long the call took.

    Raises:
        LanguageModelUnavailableError: It is no completion, or one without text.
        LanguageModelRefusedError: It is an error that came as HTTP 200, as OpenRouter does it.
    """
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError:
        # Not chained: the exception holds the body, which may echo what was sent.
        raise LanguageModelUnavailableError(f"{asked_model}: the answer is no chat completion") from None
    if answer.error:
        raise failure_of_status(asked_model, answer.error.status)
    if not answer.choices:
        raise LanguageModelUnavailableError(f"{asked_model}: the answer is no chat completion")
    choice = answer.choices[0]
    if not (choice.message.content or "").strip() and choice.finish_reason in (None, "stop"):
        raise LanguageModelUnavailableError(f"{asked_model}: the answer has no text")
    spent = _spent(answer.usage)
    return Completion(
        text=choice.message.content or "",
        finish_reason=choice.finish_reason,
        usage=Usage(
            provider=provider,
            model=shorten(without_credentials(answer.model or ""), LONGEST_MODEL_NAME) or asked_model,
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            cost_usd=spent.cost,
            seconds=round(seconds, 3),
        ),
    )


def failure_of_status(
    model: str, status: int, retry_after: float | None = None
) -> LanguageModelUnavailableError | LanguageModelRefusedError:
    """The error that an HTTP status means. The gateway's own words stay out: they may echo the key.

    Args:
        model: Which model was asked.
        status: Of the answer.
        retry_after: Seconds the gateway asked to wait.
    """
    named = f"HTTP {status}{_phrase(status)}"
    if status in _KEY_STATUS:
        return KeyRefusedError(f"the gateway refuses the key, its credit or its permission ({named})")
    if status in _TRANSIENT_STATUS or status >= 500:
        return LanguageModelUnavailableError(f"{model}: {named}", retry_after=retry_after)
    return LanguageModelRefusedError(f"{model}: the gateway refuses the model or the request ({named})")


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _spent(usage: Any) -> _Spent:
    """What the gateway says of cost and tokens; nothing where that is not what it should be."""
    try:
        return _Spent.model_validate(usage)
    except ValidationError:
        return _Spent()
