"""When an op is tried again: only after a transient error, only while the run's soft limit allows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
from loguru import logger

from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import EnhancerError, FenceClosedError, TransientError

OP_RETRIES = dg.RetryPolicy(
    max_retries=2, delay=1, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
"""How often and how far apart. It is not given to the ops as their policy, since Dagster would then repeat
them after any exception, a defect in the code included."""

OnFailure = Callable[[EnhancerError], None]
"""Called once, when an op gives up: records the failure, and raises nothing."""


@contextmanager
def retry_transient_errors(
    context: dg.OpExecutionContext, soft_limit: Deadline, on_failure: OnFailure
) -> Iterator[None]:
    """Turn errors of the domain into what Dagster does about them.

    Raises:
        dagster.RetryRequested: After a transient error, while retries and time are left.
        dagster.Failure: In all other cases, with the error's own words as description.
    """
    try:
        yield
    except TransientError as error:
        delay = _delay(error, context.retry_number + 1)
        if context.retry_number < OP_RETRIES.max_retries and delay < soft_limit.remaining():
            logger.warning("{} is tried again in {:.1f} s: {}", context.op.name, delay, error)
            raise dg.RetryRequested(OP_RETRIES.max_retries, seconds_to_wait=delay) from error
        on_failure(error)
        raise _failure(error) from error
    except EnhancerError as error:
        on_failure(error)
        raise _failure(error) from error


def _delay(error: TransientError, attempt: int) -> float:
    return max(0.0, OP_RETRIES.calculate_delay(attempt), error.retry_after or 0.0)


def _failure(error: EnhancerError) -> dg.Failure:
    if isinstance(error, FenceClosedError):
        logger.warning("this run stops: {}", error)
    else:
        logger.error("{}: {}", type(error).__name__, error)
    return dg.Failure(description=str(error), metadata={"error": type(error).__name__}, allow_retries=False)
