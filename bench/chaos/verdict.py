"""Every ticket against the promise, by the service desk's own log of writes and what it shows in the end."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from bench.chaos.senders import Delivery
from enhancer_dagster.domain.section import find_sections

ENDED = ("completed", "failed", "dead")
_JOBS = """
    SELECT job.job_id::text, job.ticket_id, job.state, job.attempt, job.error,
        history.status, history.error_message, history.skipped
    FROM bridge.jobs job LEFT JOIN pipeline.enhancement_history history USING (job_id)
    ORDER BY job.received_at, job.job_id
"""
Row = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What is known when everything has come to rest.

    Attributes:
        jobs: By ticket, oldest first, each with its history row.
        writes: By ticket, what the service desk stored.
        shown: By ticket, what stands there now.
    """

    jobs: dict[str, list[Row]]
    writes: dict[str, list[str]]
    shown: Callable[[str], str]


@dataclass(frozen=True)
class Verdict:
    """How many tickets ended how; `problems` says of each lost or doubled one what is wrong."""

    states: Counter[str]
    lost: int
    doubled: int
    problems: tuple[str, ...]


def jobs_by_ticket(database_url: str) -> dict[str, list[Row]]:
    """The whole queue with its history."""
    found: dict[str, list[Row]] = defaultdict(list)
    with psycopg.Connection[Row].connect(database_url, row_factory=dict_row) as connection:
        for row in connection.execute(_JOBS):
            found[row["ticket_id"]].append(row)
    return found


def is_at_rest(jobs: Iterable[Sequence[Row]]) -> bool:
    """Whether every job has ended, and history knows."""
    return all(
        job["state"] in ENDED and job["status"] not in (None, "pending") for one in jobs for job in one
    )


def judge(deliveries: Sequence[Delivery], evidence: Evidence) -> Verdict:
    """Compare what was promised with what became of it."""
    states: Counter[str] = Counter()
    lost, doubled = [], []
    for delivery in deliveries:
        ticket_id = delivery.ticket_id
        jobs = evidence.jobs.get(ticket_id, [])
        promised = next((job for job in jobs if job["job_id"] == delivery.job_id), None)
        if delivery.job_id is not None:
            states[promised["state"] if promised else "gone"] += 1
            lost += [f"ticket {ticket_id}: {why}" for why in _why_lost(ticket_id, promised, evidence)]
        doubled += [f"ticket {ticket_id}: {why}" for why in _why_doubled(ticket_id, evidence)]
    open_jobs = [
        f"ticket {job['ticket_id']}: job {job['job_id']} is {job['state']}"
        for jobs in evidence.jobs.values() for job in jobs if job["state"] not in ENDED
    ]  # fmt: skip
    return Verdict(states, len(lost), len(doubled), (*lost, *doubled, *open_jobs))


def _why_lost(ticket_id: str, job: Row | None, evidence: Evidence) -> list[str]:
    if job is None:
        return ["the job that was promised is gone"]
    if job["state"] not in ENDED:
        return [f"the job is still {job['state']}"]
    wanted = "completed" if job["state"] == "completed" else "failed"
    if job["status"] != wanted:
        return [f"the job is {job['state']}, and history says {job['status']}"]
    if wanted == "failed":
        return [] if job["error"] and job["error_message"] else ["it failed, and nobody says why"]
    if not evidence.writes.get(ticket_id):
        return ["it is completed, and the service desk was never written to"]
    if len(find_sections(evidence.shown(ticket_id))) != 1:
        return ["it is completed, and the ticket does not carry one section"]
    return []


def _why_doubled(ticket_id: str, evidence: Evidence) -> list[str]:
    writes = evidence.writes.get(ticket_id, [])
    if len(writes) > 1:
        return [f"it was written {len(writes)} times"]
    if any(len(find_sections(text)) > 1 for text in (*writes, evidence.shown(ticket_id))):
        return ["it carries more than one section"]
    return []
