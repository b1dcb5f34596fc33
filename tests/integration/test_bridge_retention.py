"""What is forgotten, and what never is."""

import asyncio

from pydantic import SecretStr

from enhancer_dagster.bridge.database import AsyncDatabase
from enhancer_dagster.bridge.retention import LOCK, Ages, prune
from tests.bridge_server import connected

AGES = Ages(payload_days=30, jobs_days=90)
JOB = """
    INSERT INTO bridge.jobs (job_id, tenant_id, ticket_id, correlation_id, description, state,
        accepts_changes, received_at, finished_at, record, history_written)
    VALUES (gen_random_uuid(), 'acme', %(name)s, gen_random_uuid(), 'text', %(state)s, %(state)s = 'queued',
        now() - make_interval(days => %(days)s),
        CASE WHEN %(state)s <> 'queued' THEN now() - make_interval(days => %(days)s) END,
        '{}', %(written)s)
"""


def pruned(url: SecretStr) -> dict[str, int]:
    async def run() -> dict[str, int]:
        database = AsyncDatabase(url)
        await database.open()
        try:
            return await prune(database, AGES)
        finally:
            await database.close()

    return asyncio.run(run())


def test_finished_work_goes_by_age_and_open_or_unwritten_work_never(database_url: SecretStr) -> None:
    jobs = [
        ("young", "completed", 10, True),
        ("middle", "failed", 40, True),
        ("old", "dead", 100, True),
        ("old-unwritten", "dead", 100, False),
        ("old-open", "queued", 400, False),
    ]
    with connected(database_url) as connection:
        for name, state, days, written in jobs:
            connection.execute(JOB, {"name": name, "state": state, "days": days, "written": written})
        assert pruned(database_url) == {"texts": 2, "jobs": 1, "deliveries": 0, "quarantine": 0}
        left = connection.execute("SELECT ticket_id, description, record FROM bridge.jobs").fetchall()
    texts = {row["ticket_id"]: (row["description"], row["record"]) for row in left}
    assert texts == {
        "young": ("text", {}),
        "middle": (None, None),
        "old-unwritten": ("text", {}),
        "old-open": ("text", {}),
    }
    assert pruned(database_url) == {"texts": 0, "jobs": 0, "deliveries": 0, "quarantine": 0}


def test_deliveries_and_quarantine_go_by_age(database_url: SecretStr) -> None:
    with connected(database_url) as connection:
        connection.execute(
            "INSERT INTO bridge.deliveries (tenant_id, delivery_id, job_id, correlation_id, expires_at) "
            "SELECT 'acme', n::text, gen_random_uuid(), gen_random_uuid(), now() - make_interval(days => n) "
            "FROM generate_series(-25, 205, 10) n"
        )
        connection.execute(
            "INSERT INTO bridge.quarantine (tenant_id, delivery_id, remember_seconds, reason, fields, body, "
            "received_at) SELECT 'acme', n::text, 600, '', '{}', '', now() - make_interval(days => n) "
            "FROM generate_series(5, 95, 10) n"
        )
        assert pruned(database_url) == {"texts": 0, "jobs": 0, "deliveries": 12, "quarantine": 7}
        oldest = "SELECT max(delivery_id::integer) AS oldest FROM bridge.deliveries"
        kept = connection.execute(oldest).fetchone()
    assert kept == {"oldest": 85}


def test_many_rows_go_in_small_pieces(database_url: SecretStr) -> None:
    with connected(database_url) as connection:
        connection.execute(
            "INSERT INTO bridge.jobs (job_id, tenant_id, ticket_id, correlation_id, state, accepts_changes, "
            "finished_at, history_written) SELECT gen_random_uuid(), 'acme', n, gen_random_uuid(), "
            "'completed', false, now() - interval '100 days', true FROM generate_series(1, 5000) n"
        )
    assert pruned(database_url)["jobs"] == 5000


def test_of_several_bridges_one_prunes(database_url: SecretStr) -> None:
    with connected(database_url) as connection:
        connection.execute(JOB, {"name": "old", "state": "completed", "days": 100, "written": True})
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        assert pruned(database_url)["jobs"] == 0
        connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
    assert pruned(database_url)["jobs"] == 1
