"""Every change of a job's state, as conditional SQL: the state machine of docs/reliability.md.

The conditions stand in the statements, so PostgreSQL decides who wins a race, and its clock decides what has
expired. A statement that finds no row has refused. Rows are locked in the order jobs, then tenants.
"""
# ruff: noqa: S608 -- only constants of this module are joined; values are always parameters.

from typing import Final

CHANNEL: Final = "bridge_jobs"
"""Notified whenever a job may have become ready to be claimed."""

MAX_EXPIRIES: Final = 3
"""A job whose runs vanished this often is poison: dead."""

MAX_EXCUSED: Final = 10
"""So often a lease may run out through no fault of the ticket: one that kills the sensor must end too."""

BEGIN_CLAIM: Final = """
    -- One claim at a time: who is served is a question of the whole queue, not of one row. And whatever the
    -- statistics say, the waiting jobs are to be read in the order of their index, from its start.
    SELECT pg_advisory_xact_lock(7461320119), set_config('enable_sort', 'off', true),
        set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true),
        set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
"""

ACCEPT: Final = """
    -- Takes a batch of deliveries in, at most one for a ticket, a delivery id and a correlation id.
    WITH incoming AS MATERIALIZED (
        SELECT * FROM json_to_recordset(%(batch)s::json) AS delivery (
            position integer, tenant_id text, delivery_id text, remember_seconds integer, job_id uuid,
            correlation_id uuid, sender_correlation_id uuid, ticket_id text, subject text, description text,
            event text, priority text, priority_rank smallint, created_at timestamptz, asked_again boolean)
    ),
    seen AS MATERIALIZED (
        SELECT incoming.position, known.job_id, known.correlation_id
        FROM incoming CROSS JOIN LATERAL (
            SELECT * FROM bridge.deliveries
            WHERE deliveries.tenant_id = incoming.tenant_id AND deliveries.delivery_id = incoming.delivery_id
                AND expires_at > now()
            LIMIT 1
        ) AS known
    ),
    fresh AS MATERIALIZED (
        SELECT * FROM incoming WHERE position NOT IN (SELECT position FROM seen)
    ),
    taken AS (
        INSERT INTO bridge.jobs AS job (
            job_id, tenant_id, ticket_id, correlation_id, subject, description, event, priority,
            priority_rank, created_at, asked_again)
        SELECT job_id, tenant_id, ticket_id,
            CASE WHEN (SELECT true FROM bridge.jobs used
                    WHERE used.correlation_id = fresh.sender_correlation_id LIMIT 1)
                THEN correlation_id ELSE coalesce(sender_correlation_id, correlation_id) END,
            subject, description, event, priority, priority_rank, created_at, asked_again
        FROM fresh
        ORDER BY tenant_id, ticket_id
        ON CONFLICT (tenant_id, ticket_id) WHERE accepts_changes DO UPDATE SET
            subject = coalesce(excluded.subject, job.subject),
            description = coalesce(excluded.description, job.description), event = excluded.event,
            created_at = coalesce(excluded.created_at, job.created_at), changed_at = now(),
            run_given_up = false,
            asked_again = excluded.asked_again OR job.asked_again,
            priority = CASE WHEN excluded.priority_rank > job.priority_rank
                THEN excluded.priority ELSE job.priority END,
            priority_rank = greatest(excluded.priority_rank, job.priority_rank)
        RETURNING job.job_id, job.tenant_id, job.ticket_id, job.correlation_id
    ),
    remembered AS (
        INSERT INTO bridge.deliveries AS known (tenant_id, delivery_id, job_id, correlation_id, expires_at)
        SELECT tenant_id, delivery_id, taken.job_id, taken.correlation_id,
            now() + make_interval(secs => remember_seconds)
        FROM fresh JOIN taken USING (tenant_id, ticket_id)
        ORDER BY tenant_id, delivery_id
        -- A delivery that another bridge took in meanwhile makes job_id NULL and so undoes the statement.
        ON CONFLICT (tenant_id, delivery_id) DO UPDATE SET
            job_id = CASE WHEN known.expires_at <= now() THEN excluded.job_id END,
            correlation_id = excluded.correlation_id, received_at = now(), expires_at = excluded.expires_at
        RETURNING known.job_id
    ),
    told AS MATERIALIZED (
        SELECT pg_notify('bridge_jobs', '') FROM (SELECT FROM remembered LIMIT 1) AS any_of_them
    )
    SELECT incoming.position, seen.position IS NOT NULL AS duplicate,
        coalesce(seen.job_id, taken.job_id) AS job_id,
        coalesce(seen.correlation_id, taken.correlation_id) AS correlation_id
    FROM incoming
    LEFT JOIN seen USING (position)
    LEFT JOIN taken ON seen.position IS NULL
        AND taken.tenant_id = incoming.tenant_id AND taken.ticket_id = incoming.ticket_id
    CROSS JOIN (SELECT count(*) FROM told) AS notified
"""

EXPIRE: Final = """
    -- claimed | running -> queued | dead: the lease ran out. All jobs, or one. The ticket is to blame where a
    -- run was let in and vanished while PostgreSQL and the bridge stayed up.
    WITH over AS (
        SELECT job_id, expiries, excused, state = 'running' AND started_at > greatest(
            pg_postmaster_start_time(), now() - make_interval(secs => %(up_seconds)s)) AS is_blamed
        FROM bridge.jobs
        WHERE state IN ('claimed', 'running') AND lease_expires_at <= now()
            AND (%(job_id)s::uuid IS NULL OR job_id = %(job_id)s)
        FOR UPDATE SKIP LOCKED
    ),
    counted AS (
        SELECT job_id, is_blamed, expiries + is_blamed::integer AS expiries,
            excused + (NOT is_blamed)::integer AS excused
        FROM over
    ),
    judged AS (
        SELECT *, expiries < %(max_expiries)s AND excused < %(max_excused)s AS goes_on FROM counted
    )
    UPDATE bridge.jobs AS job SET
        state = CASE WHEN goes_on THEN 'queued' ELSE 'dead' END,
        accepts_changes = goes_on AND NOT EXISTS (
            SELECT FROM bridge.jobs other WHERE other.accepts_changes
                AND other.tenant_id = job.tenant_id AND other.ticket_id = job.ticket_id),
        expiries = judged.expiries, excused = judged.excused, run_given_up = state = 'running',
        error = format('attempt %%s was given up: %%s; %%s', attempt,
            coalesce('run ' || run_id || ' vanished before it finished', 'no run started in time'),
            CASE WHEN is_blamed
                THEN format('lease %%s of %%s that ran out', judged.expiries, %(max_expiries)s::integer)
                ELSE format('lease %%s of %%s that ran out through no fault of the ticket',
                    judged.excused, %(max_excused)s::integer) END),
        finished_at = CASE WHEN goes_on THEN NULL ELSE now() END,
        record = CASE WHEN goes_on THEN record END,
        history_written = false, available_at = now(), not_before = NULL, lease_expires_at = NULL
    FROM judged WHERE job.job_id = judged.job_id
    RETURNING job.job_id, job.tenant_id, job.ticket_id, job.correlation_id, job.state, job.error
"""

# One job of a ticket at a time: none is claimed or running, and of several that wait the oldest goes first.
# LIMIT keeps these look-ups from becoming joins over the whole queue. That the older one waits is said by its
# times: by its state, PostgreSQL 15 reads the index of all that wait, once for each job that is looked at.
_TICKET_IS_FREE: Final = """
    (SELECT true FROM bridge.jobs busy
        WHERE busy.tenant_id = job.tenant_id AND busy.ticket_id = job.ticket_id
            AND busy.state IN ('claimed', 'running') LIMIT 1) IS NULL
    AND (SELECT true FROM bridge.jobs older
        WHERE older.tenant_id = job.tenant_id AND older.ticket_id = job.ticket_id
            AND older.finished_at IS NULL AND older.lease_expires_at IS NULL
            AND (older.received_at, older.job_id) < (job.received_at, job.job_id)
        LIMIT 1) IS NULL
"""

# What a claim tells the pipeline: the fields of domain.tickets.Claim.
_CLAIM: Final = """
    job_id, tenant_id, ticket_id, description, priority, received_at, created_at, attempt, correlation_id,
    subject, event, asked_again, lease_expires_at
"""

_LEASE_CHOSEN: Final = (
    """,
    free AS (
        SELECT job_id FROM bridge.jobs
        -- An array, so that PostgreSQL 15 does not join by way of all that wait.
        WHERE job_id = ANY (ARRAY(SELECT job_id FROM chosen)) AND state = 'queued'
        FOR UPDATE SKIP LOCKED
    ),
    claimed AS (
        UPDATE bridge.jobs AS job SET
            state = 'claimed', accepts_changes = false, attempt = attempt + 1, run_id = NULL,
            run_given_up = false, claimed_at = now(), started_at = NULL,
            lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
        FROM free WHERE job.job_id = free.job_id
        RETURNING job.*
    ),
    served AS (
        INSERT INTO bridge.tenants AS tenant (tenant_id, served_at)
        SELECT DISTINCT tenant_id, now() FROM claimed ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET served_at = excluded.served_at,
            probe_job_id = CASE WHEN tenant.paused_since IS NOT NULL THEN
                (SELECT job_id FROM claimed WHERE claimed.tenant_id = tenant.tenant_id) END
    )
    SELECT """
    + _CLAIM
    + """ FROM claimed ORDER BY priority_rank DESC, received_at, job_id
"""
)

PROBE: Final = (
    """
    -- queued -> claimed: one job of each tenant whose pause is due for another try. A job that still backs
    -- off by itself goes only where no other one is left.
    WITH due AS (
        SELECT tenant_id FROM bridge.tenants
        WHERE probe_at <= now() AND NOT EXISTS (
            SELECT FROM bridge.jobs probe
            WHERE probe.job_id = probe_job_id AND probe.state IN ('claimed', 'running'))
        ORDER BY probe_at LIMIT %(limit)s
    ),
    chosen AS (
        SELECT candidate.job_id FROM due CROSS JOIN LATERAL (
            SELECT job_id FROM bridge.jobs job
            WHERE job.tenant_id = due.tenant_id AND job.state = 'queued'
                AND coalesce(job.not_before <= now(), true) AND """
    + _TICKET_IS_FREE
    + """
            ORDER BY job.available_at > now(), job.priority_rank DESC, job.received_at, job.job_id LIMIT 1
        ) AS candidate
    )"""
    + _LEASE_CHOSEN
)

CLAIM: Final = (
    """
    -- queued -> claimed: fair between tenants (fewest in work, then longest not served), then by priority,
    -- then by age. The tenants are found by one index probe each, however long the queue is.
    WITH RECURSIVE waiting AS (
        (SELECT tenant_id FROM bridge.jobs WHERE state = 'queued' ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT tenant_id FROM bridge.jobs
                WHERE state = 'queued' AND tenant_id > waiting.tenant_id ORDER BY tenant_id LIMIT 1)
        FROM waiting WHERE waiting.tenant_id IS NOT NULL
    ),
    work AS (
        SELECT tenant_id, count(*) AS jobs FROM bridge.jobs
        WHERE state IN ('claimed', 'running') GROUP BY tenant_id
    ),
    chosen AS (
        SELECT candidate.job_id
        FROM waiting
        LEFT JOIN bridge.tenants USING (tenant_id)
        LEFT JOIN work USING (tenant_id)
        CROSS JOIN LATERAL (
            SELECT job_id, priority_rank, received_at,
                row_number() OVER (ORDER BY priority_rank DESC, received_at, job_id) AS turn
            FROM (
                SELECT job_id, priority_rank, received_at FROM bridge.jobs job
                WHERE job.tenant_id = waiting.tenant_id AND job.state = 'queued'
                    AND job.available_at <= now() AND """
    + _TICKET_IS_FREE
    + """
                ORDER BY job.priority_rank DESC, job.received_at, job.job_id LIMIT %(limit)s
            ) AS first_ones
        ) AS candidate
        WHERE waiting.tenant_id IS NOT NULL AND paused_since IS NULL
        ORDER BY coalesce(work.jobs, 0) + candidate.turn, served_at NULLS FIRST,
            candidate.priority_rank DESC, candidate.received_at, candidate.job_id
        LIMIT %(limit)s
    )"""
    + _LEASE_CHOSEN
)

_NOTE_RUN: Final = (
    """,
    noted AS (
        INSERT INTO bridge.runs (job_id, run_id, attempt, parent_run_id)
        SELECT job_id, run_id, attempt, %(parent_run_id)s FROM started
        ON CONFLICT (job_id, run_id) DO NOTHING
    )
    SELECT """
    + _CLAIM
    + """, ARRAY(
        -- What these stored, this run may go on with: they were let in since a person last asked for the job.
        SELECT run_id FROM bridge.runs past
        WHERE past.job_id = started.job_id AND past.run_id <> started.run_id
            AND past.let_in AND past.attempt >= started.fresh_since
        ORDER BY past.attempt DESC, past.came_at DESC
    ) AS earlier_runs
    FROM started"""
)

START: Final = (
    """
    -- claimed -> running by the run of this attempt; running -> running by the current run, once more.
    WITH started AS (
        UPDATE bridge.jobs SET
            state = 'running', run_id = %(run_id)s, started_at = coalesce(started_at, now()),
            lease_expires_at = greatest(
                lease_expires_at, now() + make_interval(secs => %(lease_seconds)s)),
            asked_again = asked_again OR %(parent_run_id)s::text IS NOT NULL,
            fresh_since = CASE WHEN state = 'claimed' AND %(parent_run_id)s::text IS NOT NULL
                THEN attempt ELSE fresh_since END
        WHERE job_id = %(job_id)s AND lease_expires_at > now()
            AND ((state = 'claimed' AND attempt = %(attempt)s)
                OR (state = 'running' AND run_id = %(run_id)s))
        RETURNING *
    )"""
    + _NOTE_RUN
)

REENTER: Final = (
    """
    -- completed | failed | dead -> running, or queued | running whose run was the parent: a re-execution.
    -- A run that this job has seen before is never let in again.
    WITH started AS (
        UPDATE bridge.jobs AS job SET
            state = 'running', accepts_changes = false, run_id = %(run_id)s, attempt = attempt + 1,
            run_given_up = false, asked_again = true, fresh_since = attempt + 1, expiries = 0,
            excused = 0, claimed_at = now(), started_at = now(), finished_at = NULL,
            lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
        WHERE job_id = %(job_id)s AND %(parent_run_id)s::text IS NOT NULL
            AND (state IN ('completed', 'failed', 'dead')
                OR (state IN ('queued', 'running') AND run_id = %(parent_run_id)s))
            AND NOT EXISTS (
                SELECT FROM bridge.runs past WHERE past.job_id = job.job_id AND past.run_id = %(run_id)s)
            AND NOT EXISTS (
                SELECT FROM bridge.jobs busy WHERE busy.tenant_id = job.tenant_id
                    AND busy.ticket_id = job.ticket_id AND busy.job_id <> job.job_id
                    AND busy.state IN ('claimed', 'running'))
        RETURNING *
    )"""
    + _NOTE_RUN
)

REFUSE: Final = """
    -- A run that was refused once is never let in later.
    INSERT INTO bridge.runs (job_id, run_id, attempt, let_in)
    SELECT job_id, %(run_id)s, %(attempt)s, false FROM bridge.jobs WHERE job_id = %(job_id)s
    ON CONFLICT (job_id, run_id) DO NOTHING
"""

# Who may end a job: its current run, or the run of a claim that failed before it ever passed the fence.
_IS_CURRENT_RUN: Final = """
    job_id = %(job_id)s AND ((state = 'running' AND run_id = %(run_id)s)
        OR (state = 'claimed' AND attempt = %(attempt)s))
"""

_NOTE_ENDED_RUN: Final = """,
    noted AS (
        INSERT INTO bridge.runs (job_id, run_id, attempt) SELECT job_id, run_id, attempt FROM ended
        ON CONFLICT (job_id, run_id) DO NOTHING
    )
    SELECT job_id, tenant_id, ticket_id, state FROM ended
"""

FINISH: Final = (
    """
    -- running | claimed -> completed | failed; queued | dead -> completed by the run that was given up, which
    -- had done its work.
    WITH ended AS (
        UPDATE bridge.jobs SET
            state = %(state)s, run_id = %(run_id)s, finished_at = now(), lease_expires_at = NULL,
            accepts_changes = false, run_given_up = false, asked_again = false, error = %(error)s,
            record = %(record)s::json, history_written = %(history_written)s
        WHERE """
    + _IS_CURRENT_RUN
    + """ OR (job_id = %(job_id)s AND run_given_up AND run_id = %(run_id)s AND attempt = %(attempt)s
            AND %(state)s::text = 'completed')
        RETURNING job_id, tenant_id, ticket_id, run_id, attempt, state
    )"""
    + _NOTE_ENDED_RUN
)

GIVE_BACK: Final = (
    """
    -- running | claimed -> queued: the service desk is down. Backs off 30 s, 60 s, ... up to 24 h, and never
    -- before the moment that it asked for.
    WITH ended AS (
        UPDATE bridge.jobs AS job SET
            state = 'queued', run_id = %(run_id)s, lease_expires_at = NULL, error = %(error)s,
            record = %(record)s::json, history_written = %(history_written)s, retries = retries + 1,
            accepts_changes = NOT EXISTS (
                SELECT FROM bridge.jobs other WHERE other.accepts_changes
                    AND other.tenant_id = job.tenant_id AND other.ticket_id = job.ticket_id),
            not_before = now() + make_interval(secs => %(wait_seconds)s),
            available_at = greatest(
                now() + make_interval(secs => %(wait_seconds)s),
                now() + make_interval(secs => least(86400, 30 * power(2, least(retries, 20)))))
        WHERE """
    + _IS_CURRENT_RUN
    + """
        RETURNING job_id, tenant_id, ticket_id, run_id, attempt, state
    )"""
    + _NOTE_ENDED_RUN
)

WAKE: Final = """
    -- Tells the pollers, where there may be something to claim.
    SELECT pg_notify('bridge_jobs', '') WHERE EXISTS (
        SELECT FROM bridge.jobs WHERE state = 'queued' AND available_at <= now()
            AND tenant_id = %(tenant_id)s AND (%(ticket_id)s::text IS NULL OR ticket_id = %(ticket_id)s))
"""

ENDED_BY: Final = """
    -- The state of a job that this run has ended already, for an answer that got lost.
    SELECT state FROM bridge.jobs
    WHERE job_id = %(job_id)s AND run_id = %(run_id)s AND (
        state IN ('completed', 'failed') OR (state = 'queued' AND %(state)s = 'queued'))
"""

REOPEN: Final = """
    -- completed | failed | dead -> queued: a person asks for it again. One that waits stops backing off.
    UPDATE bridge.jobs AS job SET
        state = 'queued', asked_again = true, fresh_since = attempt + 1, expiries = 0, excused = 0,
        retries = 0, run_given_up = false, finished_at = NULL, available_at = now(), not_before = NULL,
        accepts_changes = job.accepts_changes OR NOT EXISTS (
            SELECT FROM bridge.jobs other WHERE other.accepts_changes
                AND other.tenant_id = job.tenant_id AND other.ticket_id = job.ticket_id)
    WHERE job_id = %(job_id)s AND state IN ('queued', 'completed', 'failed', 'dead')
    RETURNING tenant_id, ticket_id, state
"""
