"""Four steps that do nothing but write history twice, the same for the product and for its peers.

It needs psycopg alone, for it runs in the peers' own environment too.
"""

import os
from functools import lru_cache
from typing import LiteralString

from psycopg_pool import ConnectionPool

DATABASE_VARIABLE = "ENHANCER_DATABASE_URL"

CREATE = """
    CREATE TABLE IF NOT EXISTS bench_history
    (id text PRIMARY KEY, status text NOT NULL, finished_at timestamptz)
"""
_BEGIN = "INSERT INTO bench_history (id, status) VALUES (%s, 'pending') ON CONFLICT (id) DO NOTHING"
_END = "UPDATE bench_history SET status = 'completed', finished_at = clock_timestamp() WHERE id = %s"


def gather(ticket_id: str) -> str:
    """The first step: history says pending."""
    _write(_BEGIN, ticket_id)
    return ticket_id


def synthesize(ticket_id: str) -> str:
    """The second step: nothing."""
    return ticket_id


def update(ticket_id: str) -> str:
    """The third step: nothing."""
    return ticket_id


def record(ticket_id: str) -> str:
    """The last step: history says completed."""
    _write(_END, ticket_id)
    return ticket_id


def _write(statement: LiteralString, ticket_id: str) -> None:
    with _pool(os.getpid()).connection() as connection:
        connection.execute(statement, [ticket_id])


@lru_cache(maxsize=1)
def _pool(process_id: int) -> ConnectionPool:
    """Connections of this process; a forked child opens its own."""
    return ConnectionPool(
        os.environ[DATABASE_VARIABLE], min_size=1, max_size=4, open=True, name=f"bench-{process_id}"
    )
