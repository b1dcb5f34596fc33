"""When a call is tried again: never past the caller's deadline, and never a write that may have been done.

That last point is settled by the error types: what left a write open is a `WriteOutcomeUnknownError`, which
is not among those repeated here.
"""

from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import (
    ServiceDeskThrottledError,
    ServiceDeskUnavailableError,
    TransientError,
)

ATTEMPTS = 5

_after_failure = wait_exponential_jitter(multiplier=0.5, max=8, jitter=0.5)
# SDP counts calls by the minute: coming back at once would only lengthen the block.
_after_throttle = wait_exponential_jitter(multiplier=2, max=30, jitter=1)


def retrying(
    name: str, deadline: Deadline, sleep: Callable[[float], None], warn: Callable[[str], object]
) -> Retrying:
    """Repeats a call on throttles and transient failures; the last error is raised as it is.

    It waits as long as the other side asked, else exponentially longer with jitter. It gives up at once
    where that wait would outlast the deadline.

    Args:
        name: What is called, for the log.
        deadline: The end of it all.
        sleep: Waits so many seconds.
        warn: Logs that an attempt failed.
    """

    def give_up(state: RetryCallState) -> bool:
        return state.attempt_number >= ATTEMPTS or state.upcoming_sleep >= deadline.remaining()

    def log_retry(state: RetryCallState) -> None:
        done, pause = state.attempt_number, state.upcoming_sleep
        warn(f"{name}: attempt {done} failed, the next one in {pause:.1f} s: {_error_of(state)}")

    return Retrying(
        retry=retry_if_exception_type((ServiceDeskUnavailableError, ServiceDeskThrottledError)),
        stop=give_up,
        wait=_pause,
        sleep=sleep,
        before_sleep=log_retry,
        reraise=True,
    )


def _pause(state: RetryCallState) -> float:
    error = _error_of(state)
    if isinstance(error, TransientError) and error.retry_after is not None:
        return error.retry_after
    return _after_throttle(state) if isinstance(error, ServiceDeskThrottledError) else _after_failure(state)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
