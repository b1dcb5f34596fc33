"""Single fields of SDP's records: every form that the recorded answers show, as plain Python."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from enhancer_dagster.domain.errors import ServiceDeskRefusedError
from enhancer_dagster.domain.text import storable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text(value: object) -> str:
    """A string that can be stored; numbers as digits, anything else as nothing."""
    if isinstance(value, str):
        return storable(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def html(value: object) -> str | None:
    """A text that may be absent."""
    return storable(value) if isinstance(value, str) else None


def name(value: object) -> str:
    """What `{"name": …, "id": …}` is called; some fields come as a bare string, some as null."""
    return text(value.get("name") if isinstance(value, Mapping) else value).strip()


def moment(value: object) -> datetime | None:
    """The time in `{"value": "epoch-ms", "display_value": …}`, UTC; None for null and for nonsense."""
    digits = value.get("value") if isinstance(value, Mapping) else None
    try:
        milliseconds = int(digits) if isinstance(digits, str | int) else 0
        return _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds > 0 else None
    except (ValueError, OverflowError):
        return None


def epoch_milliseconds(moment: datetime) -> str:
    """`moment` as SDP writes it."""
    return str((moment - _EPOCH) // timedelta(milliseconds=1))


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Translate a record that lacks what it must have, such as an id.

    Raises:
        ServiceDeskRefusedError: The record cannot be read; names the fields, not their hostile values.
    """
    try:
        yield
    except ValidationError as error:
        fields = ", ".join(".".join(str(part) for part in e["loc"]) for e in error.errors())
        raise ServiceDeskRefusedError(f"ServiceDesk Plus gave {what} that cannot be read: {fields}") from None
