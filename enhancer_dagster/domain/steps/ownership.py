"""Whose section is it? Ours if history, or else the queue, knows its correlation id for this ticket."""

from collections.abc import Callable, Iterable
from uuid import UUID

from loguru import logger

from enhancer_dagster.domain.errors import DatabaseUnavailableError
from enhancer_dagster.domain.ports import History, JobQueue


def ownership_test(
    history: History, queue: JobQueue, tenant_id: str, ticket_id: str, correlation_ids: Iterable[UUID]
) -> Callable[[UUID], bool]:
    """A predicate that tells our sections from look-alikes, for the ids found on one ticket.

    Raises:
        BridgeUnavailableError: History did not know an id, or was down, and the queue cannot be asked.
    """
    asked = frozenset(correlation_ids)
    owned: frozenset[UUID] = frozenset()
    if asked:
        try:
            owned = history.owned_correlation_ids(tenant_id, ticket_id, asked)
        except DatabaseUnavailableError as error:
            logger.warning("history cannot be asked whose sections these are: {}", error)
    if asked - owned:
        owned |= queue.owned_correlation_ids(tenant_id, ticket_id, asked - owned)
    return owned.__contains__
