"""What Dagster is told when an asset of the index cannot be made."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from loguru import logger

from enhancer_dagster.domain.errors import EnhancerError


@contextmanager
def failures_in_words() -> Iterator[None]:
    """End the asset's op with the error's own words instead of a stack trace.

    Adapters have repeated by then what was worth it. The schedules' next run goes on where this one stopped.

    Raises:
        dagster.Failure: After an error of the domain.
    """
    try:
        yield
    except EnhancerError as error:
        logger.error("{}: {}", type(error).__name__, error)
        raise dg.Failure(str(error), metadata={"error": type(error).__name__}, allow_retries=False) from error
