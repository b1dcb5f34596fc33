"""What a webhook's body says: bytes from outside to a typed change of a ticket, or why not."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import UUID4, BaseModel, BeforeValidator, Field, StringConstraints, TypeAdapter, ValidationError

from enhancer_dagster.domain.errors import PermanentError
from enhancer_dagster.domain.text import storable
from enhancer_dagster.domain.tickets import FreeText, TicketId

BODY = "body"
"""Stands for the field name where the body as a whole cannot be read."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Times outside are nonsense, and Python cannot read back what PostgreSQL can store."""

MAX_NAME = 200


class PayloadError(PermanentError):
    """A body that cannot be taken in. `fields` are the names of what is wrong with it."""

    def __init__(self, message: str, fields: Sequence[str]) -> None:
        super().__init__(message)
        self.fields = tuple(fields)


def _blank_for_null(value: object) -> object:
    return "" if value is None else value


def _null_for_blank(value: object) -> object:
    return None if value == "" else value


def _moment_if_readable(value: object) -> object:
    """A time, or None for text that is none: SDP's templates send times as the user displays them."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        moment = _DATETIME.validate_python(value)
    except ValidationError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC) if EARLIEST <= moment <= LATEST else None


_DATETIME = TypeAdapter(datetime)
Moment = Annotated[datetime | None, BeforeValidator(_moment_if_readable)]
Text = Annotated[FreeText, BeforeValidator(_blank_for_null)]
Name = Annotated[Text, StringConstraints(max_length=MAX_NAME)]


class WebhookPayload(BaseModel):
    """The body of a webhook; unknown fields are ignored.

    `created_at` is ISO 8601 or a Unix time; other text is taken as not known, rather than losing the ticket.
    """

    ticket_id: TicketId
    description: Text = Field(description="Text or HTML, may be empty.")
    priority: Name
    created_at: Moment
    event: Name = ""
    subject: Text = ""
    correlation_id: Annotated[UUID4 | None, BeforeValidator(_null_for_blank)] = None


def parse_payload(body: bytes) -> WebhookPayload:
    """Read a webhook's body.

    Raises:
        PayloadError: It is not UTF-8, not JSON, not an object, or a field is missing or wrong.
    """
    return _validated(_json(body))


def _json(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PayloadError("the body is not UTF-8", [BODY]) from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise PayloadError("the body is not JSON", [BODY]) from None


def _validated(content: Any) -> WebhookPayload:
    if not isinstance(content, dict):
        raise PayloadError("the body is not a JSON object", [BODY])
    try:
        return WebhookPayload.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    fields = {str(problem["loc"][0]): problem["msg"] for problem in problems}
    reason = "; ".join(f"{name}: {message}" for name, message in fields.items())
    raise PayloadError(storable(reason), list(fields))
