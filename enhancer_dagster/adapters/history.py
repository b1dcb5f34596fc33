"""The table `enhancement_history`: one row a job, whatever is retried or re-executed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from enhancer_dagster.database import Database
from enhancer_dagster.domain.outcomes import HistoryRecord, LastEnhancement

# What an earlier attempt knew of the ticket's section stays until a later one knows better: the section is
# still there while the job is pending again, and after a re-execution that failed.
SAVE = """
    INSERT INTO pipeline.enhancement_history AS h (
        correlation_id, tenant_id, ticket_id, job_id, status, attempt, dagster_run_id, received_at,
        started_at, completed_at, processing_time_ms, context_nodes_success, context_nodes_failed,
        llm_provider, llm_model, error_message, generated_without_ai, prompt_tokens, completion_tokens,
        cost_usd, content_hash, enhancement, sources, note_id, skipped)
    VALUES (
        %(correlation_id)s, %(tenant_id)s, %(ticket_id)s, %(job_id)s, %(status)s, %(attempt)s,
        %(dagster_run_id)s, %(received_at)s, %(started_at)s, %(completed_at)s, %(processing_time_ms)s,
        %(context_nodes_success)s, %(context_nodes_failed)s, %(llm_provider)s, %(llm_model)s,
        %(error_message)s, %(generated_without_ai)s, %(prompt_tokens)s, %(completion_tokens)s, %(cost_usd)s,
        %(content_hash)s, %(enhancement)s, %(sources)s, %(note_id)s, %(skipped)s)
    ON CONFLICT (job_id) DO UPDATE SET
        status = excluded.status, attempt = excluded.attempt, dagster_run_id = excluded.dagster_run_id,
        started_at = excluded.started_at, completed_at = excluded.completed_at,
        processing_time_ms = excluded.processing_time_ms,
        context_nodes_success = excluded.context_nodes_success,
        context_nodes_failed = excluded.context_nodes_failed,
        llm_provider = excluded.llm_provider, llm_model = excluded.llm_model,
        error_message = excluded.error_message, generated_without_ai = excluded.generated_without_ai,
        prompt_tokens = excluded.prompt_tokens, completion_tokens = excluded.completion_tokens,
        cost_usd = excluded.cost_usd, skipped = excluded.skipped,
        received_at = coalesce(excluded.received_at, h.received_at),
        content_hash = coalesce(excluded.content_hash, h.content_hash),
        enhancement = coalesce(excluded.enhancement, h.enhancement),
        sources = CASE WHEN excluded.enhancement IS NULL THEN h.sources ELSE excluded.sources END,
        note_id = coalesce(excluded.note_id, h.note_id),
        updated_at = now()
    WHERE h.attempt < excluded.attempt
       OR (h.attempt = excluded.attempt AND NOT (h.status = 'completed' AND excluded.status <> 'completed'))
"""
LAST = """
    SELECT correlation_id, content_hash, note_id, completed_at
    FROM pipeline.enhancement_history
    WHERE tenant_id = %s AND ticket_id = %s AND content_hash IS NOT NULL AND NOT skipped
      AND (status = 'completed' OR enhancement IS NOT NULL OR correlation_id = ANY(%s))
    ORDER BY updated_at DESC LIMIT 1
"""
OWNED = """
    SELECT correlation_id FROM pipeline.enhancement_history
    WHERE tenant_id = %s AND ticket_id = %s AND correlation_id = ANY(%s)
"""
PENDING = """
    SELECT * FROM pipeline.enhancement_history WHERE status = 'pending' ORDER BY started_at LIMIT %s
"""
OF_JOBS = "SELECT * FROM pipeline.enhancement_history WHERE job_id = ANY(%s)"
WITHOUT_AI = """
    SELECT job_id FROM pipeline.enhancement_history h
    WHERE status = 'completed' AND generated_without_ai AND NOT skipped
      AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
      AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
      AND NOT EXISTS (
        SELECT FROM pipeline.enhancement_history later
        WHERE later.tenant_id = h.tenant_id AND later.ticket_id = h.ticket_id AND later.id > h.id
          AND later.status = 'completed' AND NOT later.skipped)
    ORDER BY id
"""
ROWS = """
    SELECT * FROM pipeline.enhancement_history
    WHERE (%(ticket_id)s::text IS NULL OR ticket_id = %(ticket_id)s)
      AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
      AND (%(status)s::text IS NULL OR status = %(status)s)
      AND (%(since)s::timestamptz IS NULL OR started_at >= %(since)s)
    ORDER BY started_at DESC LIMIT %(limit)s
"""
PRUNE = """
    DELETE FROM pipeline.enhancement_history WHERE id IN (
        SELECT id FROM pipeline.enhancement_history
        WHERE completed_at < %s AND updated_at < %s AND status <> 'pending' LIMIT %s)
"""
PRUNE_ROWS = 5_000
TEXT_LIMIT = 100
"""Width of the columns `llm_provider` and `llm_model`."""


class PostgresHistory:
    """`domain.ports.History` on PostgreSQL.

    Args:
        database: A pool of its own, so that trouble here is no trouble elsewhere.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, record: HistoryRecord) -> None:
        """Write the job's row; an earlier attempt never overwrites a later one.

        Raises:
            DatabaseUnavailableError: The row could not be written.
        """
        with self._database.transaction() as connection:
            connection.execute(SAVE, _values(record))

    def last_enhancement(
        self, tenant_id: str, ticket_id: str, standing: Iterable[UUID] = ()
    ) -> LastEnhancement | None:
        """The last enhancement that reached this ticket.

        Args:
            tenant_id: Whose ticket.
            ticket_id: Which one.
            standing: Correlation ids of sections on the ticket. A job that failed after its write is known
                by them; one that was completed once needs none.
        """
        with self._database.transaction() as connection:
            row = connection.execute(LAST, [tenant_id, ticket_id, list(standing)]).fetchone()
        return LastEnhancement(**row) if row else None

    def owned_correlation_ids(
        self, tenant_id: str, ticket_id: str, correlation_ids: Iterable[UUID]
    ) -> frozenset[UUID]:
        """Those of `correlation_ids` that history knows for this tenant and ticket."""
        with self._database.transaction() as connection:
            rows = connection.execute(OWNED, [tenant_id, ticket_id, list(correlation_ids)]).fetchall()
        return frozenset(row["correlation_id"] for row in rows)

    def pending(self, limit: int = 500) -> Sequence[HistoryRecord]:
        """The rows that say pending, oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(PENDING, [limit]).fetchall()
        return [HistoryRecord.model_validate(row) for row in rows]

    def records(self, job_ids: Iterable[UUID]) -> Mapping[UUID, HistoryRecord]:
        """The rows of these jobs, by job, as far as there are any."""
        if not (asked := list(job_ids)):
            return {}
        with self._database.transaction() as connection:
            rows = connection.execute(OF_JOBS, [asked]).fetchall()
        return {row["job_id"]: HistoryRecord.model_validate(row) for row in rows}

    def jobs_without_ai(
        self, *, tenant_id: str | None = None, since: datetime | None = None
    ) -> Sequence[UUID]:
        """Completed jobs whose section, which is still the ticket's, was written without AI; oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(WITHOUT_AI, {"tenant_id": tenant_id, "since": since}).fetchall()
        return [row["job_id"] for row in rows]

    def prune(self, before: datetime) -> int:
        """Forget rows that ended and were last changed before that moment, in small transactions.

        Returns:
            How many.
        """
        pruned = 0
        while True:
            with self._database.transaction() as connection:
                count = connection.execute(PRUNE, [before, before, PRUNE_ROWS]).rowcount
            pruned += count
            if count < PRUNE_ROWS:
                return pruned

    def rows(
        self,
        *,
        ticket_id: str | None = None,
        tenant_id: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[dict[str, Any]]:
        """Rows as they are stored, newest first."""
        asked = {
            "ticket_id": ticket_id,
            "tenant_id": tenant_id,
            "status": status,
            "since": since,
            "limit": limit,
        }
        with self._database.transaction() as connection:
            return connection.execute(ROWS, asked).fetchall()


def _values(record: HistoryRecord) -> dict[str, Any]:
    return record.model_dump() | {
        "processing_time_ms": record.processing_time_ms,
        "sources": Jsonb(list(record.sources)),
        "llm_provider": record.llm_provider and record.llm_provider[:TEXT_LIMIT],
        "llm_model": record.llm_model and record.llm_model[:TEXT_LIMIT],
    }
