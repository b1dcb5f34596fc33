"""The bridge: jobs, their runs, remembered deliveries, quarantine, and each tenant's turn and pause."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE SCHEMA bridge;

        CREATE TABLE bridge.jobs (
            job_id            uuid PRIMARY KEY,
            tenant_id         varchar(63) NOT NULL,
            ticket_id         varchar(64) NOT NULL,
            correlation_id    uuid NOT NULL UNIQUE,
            state             text NOT NULL DEFAULT 'queued'
                CHECK (state IN ('queued', 'claimed', 'running', 'completed', 'failed', 'dead')),
            accepts_changes   boolean NOT NULL DEFAULT true,   -- a further change is merged here
            subject           text,                            -- null: the sender did not say
            description       text,
            event             text NOT NULL DEFAULT '',
            priority          text NOT NULL DEFAULT '',
            priority_rank     smallint NOT NULL DEFAULT 0,
            created_at        timestamptz,                     -- of the ticket
            received_at       timestamptz NOT NULL DEFAULT now(),
            changed_at        timestamptz NOT NULL DEFAULT now(),  -- of the last delivery that was merged
            asked_again       boolean NOT NULL DEFAULT false,
            attempt           integer NOT NULL DEFAULT 0,
            expiries          integer NOT NULL DEFAULT 0,      -- leases that ran out
            retries           integer NOT NULL DEFAULT 0,      -- times a run gave the job back
            available_at      timestamptz NOT NULL DEFAULT now(),
            not_before        timestamptz,                     -- asked for by the service desk
            claimed_at        timestamptz,
            started_at        timestamptz,
            lease_expires_at  timestamptz,
            finished_at       timestamptz,
            run_id            text,
            error             text,
            record            json,                            -- the whole outcome, for history
            history_written   boolean NOT NULL DEFAULT false,
            CHECK (NOT accepts_changes OR state = 'queued'),
            CHECK ((lease_expires_at IS NOT NULL) = (state IN ('claimed', 'running'))),
            CHECK ((finished_at IS NOT NULL) = (state IN ('completed', 'failed', 'dead')))
        );
        CREATE UNIQUE INDEX jobs_accepting ON bridge.jobs (tenant_id, ticket_id) WHERE accepts_changes;
        CREATE UNIQUE INDEX jobs_active ON bridge.jobs (tenant_id, ticket_id)
            WHERE state IN ('claimed', 'running');
        CREATE INDEX jobs_waiting ON bridge.jobs (tenant_id, priority_rank DESC, received_at, job_id)
            WHERE state = 'queued';
        CREATE INDEX jobs_leased ON bridge.jobs (lease_expires_at) WHERE state IN ('claimed', 'running');
        CREATE INDEX jobs_of_ticket ON bridge.jobs (tenant_id, ticket_id, received_at);
        CREATE INDEX jobs_received ON bridge.jobs (received_at, job_id);
        CREATE INDEX jobs_finished ON bridge.jobs (finished_at) WHERE finished_at IS NOT NULL;
        CREATE INDEX jobs_unwritten ON bridge.jobs (finished_at)
            WHERE finished_at IS NOT NULL AND NOT history_written;

        CREATE TABLE bridge.runs (            -- every run that ever came to the fence
            job_id         uuid NOT NULL REFERENCES bridge.jobs ON DELETE CASCADE,
            run_id         text NOT NULL,
            attempt        integer NOT NULL,
            let_in         boolean NOT NULL DEFAULT true,
            parent_run_id  text,
            came_at        timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (job_id, run_id)
        );
        CREATE INDEX runs_run ON bridge.runs (run_id);

        CREATE TABLE bridge.deliveries (
            tenant_id       varchar(63) NOT NULL,
            delivery_id     varchar(200) NOT NULL,
            job_id          uuid NOT NULL,
            correlation_id  uuid NOT NULL,
            received_at     timestamptz NOT NULL DEFAULT now(),
            expires_at      timestamptz NOT NULL,
            PRIMARY KEY (tenant_id, delivery_id)
        );
        CREATE INDEX deliveries_expires ON bridge.deliveries (expires_at);

        CREATE TABLE bridge.quarantine (
            quarantine_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant_id       varchar(63) NOT NULL,
            delivery_id     varchar(200) NOT NULL,
            remember_seconds integer NOT NULL,
            received_at     timestamptz NOT NULL DEFAULT now(),
            state           text NOT NULL DEFAULT 'waiting'
                CHECK (state IN ('waiting', 'replayed', 'discarded')),
            reason          text NOT NULL,
            fields          text[] NOT NULL,
            body            bytea NOT NULL,
            job_id          uuid,
            settled_at      timestamptz,
            UNIQUE (tenant_id, delivery_id)
        );
        CREATE INDEX quarantine_received ON bridge.quarantine (received_at);

        CREATE TABLE bridge.tenants (         -- whose turn it is, and whose service desk is being spared
            tenant_id      varchar(63) PRIMARY KEY,
            served_at      timestamptz,
            paused_since   timestamptz,
            probe_at       timestamptz,
            probe_job_id   uuid,
            failures       integer NOT NULL DEFAULT 0,
            CHECK ((paused_since IS NULL) = (probe_at IS NULL))
        );
    """)
