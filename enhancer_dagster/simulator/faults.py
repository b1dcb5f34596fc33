"""Faults on request: which calls fail, how, and how often."""

import random
import re
from enum import StrEnum
from itertools import count
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.answers import THROTTLED_ONPREM, Answer, Refusal, forbidden, not_found
from enhancer_dagster.simulator.answers import unauthorized as unauthorized_refusal

HEADER = "x-simulate"
HOLD_SECONDS = 60.0
DRIP_SECONDS = 1.0


class FaultKind(StrEnum):
    """What happens to a call. Only the three `applied` kinds and `slow` and `drip` carry it out."""

    STATUS = "status"
    """An HTTP error status; for 429 and 503 with `retry_after`."""
    THROTTLE = "throttle"
    """The edition's own way of saying that there were too many calls."""
    WARNING = "warning"
    """HTTP 200 with status `warning`: refused."""
    SLOW = "slow"
    """Carried out and answered after `seconds`."""
    DRIP = "drip"
    """Carried out; the answer's body comes one byte every `seconds`."""
    TIMEOUT = "timeout"
    """Not carried out, not answered; the connection is cut after `seconds`."""
    APPLIED_TIMEOUT = "applied-then-timeout"
    """Carried out, not answered; the connection is cut after `seconds`."""
    RESET = "reset"
    """Not carried out; the connection is reset."""
    APPLIED_RESET = "applied-then-reset"
    """Carried out; the connection is reset before the answer."""


def _pattern(text: str | None) -> str | None:
    if text is not None:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
    return text


class Fault(BaseModel):
    """A fault and the calls it meets: those that fit all of `method`, `path` and `ticket`.

    Attributes:
        path: A regular expression, searched for in the path.
        skip: How many fitting calls go well first.
        times: How many calls it meets after that; None: all.
        probability: Chance that a fitting call is met.
        status: HTTP status of the kind `status`.
        seconds: Of `slow`, `drip` and the timeouts; None: 60, a byte a second for `drip`.
        retry_after: Value of a `Retry-After` header, in seconds.
        message: What the kind `status` says, in place of SDP's own words.
        fields: Fields that a `warning` names.
    """

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    method: str | None = None
    path: Annotated[str | None, AfterValidator(_pattern)] = None
    ticket: str | None = None
    skip: int = Field(default=0, ge=0)
    times: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    status: int = Field(default=503, ge=400, le=599)
    seconds: float | None = Field(default=None, ge=0)
    retry_after: int | None = Field(default=None, ge=0)
    message: str | None = None
    fields: tuple[str, ...] = ("technician", "resolution")

    @property
    def hold_seconds(self) -> float:
        """How long a call is held."""
        return HOLD_SECONDS if self.seconds is None else self.seconds

    def fits(self, method: str, path: str, ticket_id: str | None) -> bool:
        """Whether a call is one of those it is for."""
        return (
            self.method in (None, method)
            and self.ticket in (None, ticket_id)
            and (self.path is None or re.search(self.path, path) is not None)
        )


class FaultBoard:
    """The faults that are set.

    Args:
        seed: Makes faults with a probability repeatable.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._numbers = count(1)
        self._faults: dict[int, Fault] = {}
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def add(self, fault: Fault) -> int:
        """Set a fault; returns its number. Those set first are tried first."""
        number = next(self._numbers)
        self._faults[number] = fault.model_copy()
        return number

    def remove(self, number: int) -> bool:
        """Take a fault away; whether there was one of this number."""
        return self._faults.pop(number, None) is not None

    def clear(self) -> None:
        """Take all faults away."""
        self._faults.clear()
        self._random = random.Random(self._seed)  # noqa: S311

    def all(self) -> dict[int, Fault]:
        """The faults that are set, by number, with what is left of `skip` and `times`."""
        return dict(self._faults)

    def strike(self, method: str, path: str, ticket_id: str | None) -> Fault | None:
        """The fault that a call meets, counted; None where it goes well."""
        for number, fault in list(self._faults.items()):
            if not fault.fits(method, path, ticket_id):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if self._random.random() >= fault.probability:
                continue
            self._count_down(number, fault)
            return fault
        return None

    def _count_down(self, number: int, fault: Fault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                del self._faults[number]


def fault_of_header(value: str) -> Fault:
    """The fault of an `X-Simulate` header: `status=503; retry-after=7`, `slow=2`, `applied-then-reset`.

    Raises:
        ValueError: The header is not of this form.
    """
    parts = [part.strip().partition("=") for part in value.split(";") if part.strip()]
    if not parts:
        raise ValueError("the header is empty")
    kind, _, argument = parts[0]
    given: dict[str, str] = {name.replace("-", "_"): text for name, _, text in parts[1:]}
    if argument:
        given["status" if kind == FaultKind.STATUS else "seconds"] = argument
    return Fault.model_validate({"kind": kind, **given})


def refusal_answer(fault: Fault, edition: Edition) -> Answer:
    """The answer of a fault that refuses: `status` or `throttle`."""
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.kind is FaultKind.THROTTLE:
        return throttled(edition, headers)
    if fault.message is not None:
        return Refusal(fault.status, 4001, fault.message).answer(headers)
    known = {401: unauthorized_refusal, 403: forbidden, 404: not_found}
    if fault.status in known:
        return known[fault.status]().answer(headers)
    if fault.status == 429:
        return Refusal(429, 4015, "API Rate Limit reached").answer(headers)
    if fault.status == 500:
        return Refusal(500, 4004, "Internal Error").answer(headers)
    if fault.status > 500:
        # What answers then is a proxy in front of SDP, and it does not speak JSON.
        return Answer(fault.status, f"<html><body><h1>{fault.status}</h1></body></html>", headers)
    return Refusal(fault.status, 4001, "Invalid Input").answer(headers)


def throttled(edition: Edition, headers: dict[str, str] | None = None) -> Answer:
    """Too many calls, as the edition says it."""
    if edition is Edition.ONPREM:
        return Refusal(400, 4001, THROTTLED_ONPREM).answer(headers)
    return Refusal(429, 4015, "API Rate Limit reached").answer(headers)
