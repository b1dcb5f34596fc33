"""What is forgotten, and when: finished work by age, never what is open or not yet in history."""

import asyncio
from dataclasses import dataclass
from typing import Final, LiteralString

from loguru import logger

from enhancer_dagster.bridge.database import AsyncDatabase, Connection
from enhancer_dagster.domain.errors import DatabaseUnavailableError

LOCK: Final = 7_461_320_120
"""Advisory lock: of several bridges one prunes."""

CHUNK: Final = 2_000
INTERVAL_SECONDS = 3600.0
PAUSE_SECONDS = 0.05

# Texts go first: they may hold credentials that somebody wrote into a ticket.
TEXTS: Final = """
    UPDATE bridge.jobs SET subject = NULL, description = NULL, record = NULL WHERE job_id IN (
        SELECT job_id FROM bridge.jobs
        WHERE finished_at < now() - make_interval(secs => %(payload_seconds)s) AND history_written
            AND (subject IS NOT NULL OR description IS NOT NULL OR record IS NOT NULL)
        LIMIT %(chunk)s)
"""
JOBS: Final = """
    DELETE FROM bridge.jobs WHERE job_id IN (
        SELECT job_id FROM bridge.jobs
        WHERE finished_at < now() - make_interval(secs => %(jobs_seconds)s) AND history_written
        LIMIT %(chunk)s)
"""
DELIVERIES: Final = """
    DELETE FROM bridge.deliveries WHERE (tenant_id, delivery_id) IN (
        SELECT tenant_id, delivery_id FROM bridge.deliveries
        WHERE expires_at < now() - make_interval(secs => %(jobs_seconds)s)
        LIMIT %(chunk)s)
"""
QUARANTINE: Final = """
    DELETE FROM bridge.quarantine WHERE quarantine_id IN (
        SELECT quarantine_id FROM bridge.quarantine
        WHERE received_at < now() - make_interval(secs => %(payload_seconds)s)
        LIMIT %(chunk)s)
"""
STEPS: Final[dict[str, LiteralString]] = {
    "texts": TEXTS,
    "jobs": JOBS,
    "deliveries": DELIVERIES,
    "quarantine": QUARANTINE,
}


@dataclass(frozen=True)
class Ages:
    """How old things may get, in days."""

    payload_days: float
    jobs_days: float


async def prune(database: AsyncDatabase, ages: Ages) -> dict[str, int]:
    """Forget what is old, in small transactions; returns how many rows of each kind.

    Nothing happens while another bridge prunes.

    Raises:
        DatabaseUnavailableError: PostgreSQL is away; what was pruned stays pruned.
    """
    pruned = dict.fromkeys(STEPS, 0)
    for name in STEPS:
        while True:
            count = await _prune_chunk(database, name, ages)
            pruned[name] += count
            if count < CHUNK:
                break
            await asyncio.sleep(PAUSE_SECONDS)
    return pruned


async def prune_regularly(database: AsyncDatabase, ages: Ages) -> None:
    """Prune every hour, until cancelled."""
    while True:
        try:
            pruned = await prune(database, ages)
        except DatabaseUnavailableError as error:
            logger.warning("retention waits: {}", error)
        else:
            if any(pruned.values()):
                logger.info("pruned {}", pruned)
        await asyncio.sleep(INTERVAL_SECONDS)


async def _prune_chunk(database: AsyncDatabase, name: str, ages: Ages) -> int:
    values = {
        "payload_seconds": ages.payload_days * 86400,
        "jobs_seconds": ages.jobs_days * 86400,
        "chunk": CHUNK,
    }

    async def work(connection: Connection) -> int:
        cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", [LOCK])
        row = await cursor.fetchone()
        if row is None or not row["mine"]:
            return 0
        return (await connection.execute(STEPS[name], values)).rowcount

    return await database.transaction(work)
