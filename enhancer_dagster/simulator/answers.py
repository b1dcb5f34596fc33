"""Answers as ServiceDesk Plus words them: success, refusals, and their HTTP statuses.

The codes are those of the recordings (4001, 4002, 4007, 4016) and of ManageEngine's table of status codes.
"""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

SUCCESS = {"status_code": 2000, "status": "success"}

THROTTLED_ONPREM = "URL blocked as maximum access limit for the page is exceeded. Please try after sometime."
"""On premises a throttled call is HTTP 400 with these words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: a JSON body, or the text of something that stands in front of SDP."""

    status: int
    body: Json | str
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818 - the service desk's no is an answer, not an error of the simulator
    """SDP says no.

    Args:
        http_status: Status of the HTTP answer.
        code: SDP's own code of the message.
        message: Its words; None leaves them out, as some answers do.
        field_name: The input that it is about.
        fields: Several inputs, for mandatory ones that are missing.
    """

    def __init__(
        self,
        http_status: int,
        code: int,
        message: str | None = None,
        *,
        field_name: str | None = None,
        fields: list[str] | None = None,
    ) -> None:
        super().__init__(message or str(code))
        self.http_status = http_status
        self._entry: Json = {"status_code": code}
        if field_name is not None:
            self._entry["field"] = field_name
        if fields is not None:
            self._entry["fields"] = fields
        self._entry["type"] = "failed"
        if message is not None:
            self._entry["message"] = message

    def answer(self, headers: dict[str, str] | None = None) -> Answer:
        """The refusal as an HTTP answer."""
        status = {"status_code": 4000, "messages": [self._entry], "status": "failed"}
        return Answer(self.http_status, {"response_status": status}, headers or {})


def invalid_input(field_name: str) -> Refusal:
    """A value that is not known, or not of its type."""
    return Refusal(400, 4001, "Invalid Input", field_name=field_name)


def not_found() -> Refusal:
    """No such path, ticket, note, article or asset."""
    return Refusal(404, 4007, "Invalid URL")


def forbidden() -> Refusal:
    """The key may not do this."""
    return Refusal(403, 4002, "User does not have this permission")


def unauthorized() -> Refusal:
    """The key or token is not known, or has expired."""
    return Refusal(401, 4022, "Invalid API Key")


def missing(*fields: str) -> Refusal:
    """Mandatory fields that were not given."""
    return Refusal(400, 4012, fields=list(fields))


def done(message: str, status: int = 200) -> Answer:
    """Success with a sentence instead of an entity."""
    note = {"status_code": 2000, "type": "success", "message": message}
    return Answer(status, {"response_status": {"status_code": 2000, "messages": [note], "status": "success"}})


def entity(name: str, value: Json, status: int = 200) -> Answer:
    """A single entity under its name."""
    return Answer(status, {name: value, "response_status": dict(SUCCESS)})


def warning(*fields: str) -> Answer:
    """HTTP 200 that is a refusal all the same, as a mandatory closing field that is missing gives."""
    note = {"fields": list(fields), "status_code": 4003, "type": "warning"}
    return Answer(200, {"response_status": {"status": "warning", "status_code": 3000, "messages": [note]}})
