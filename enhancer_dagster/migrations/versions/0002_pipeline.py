"""History, op outputs and shared OAuth tokens."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE SCHEMA pipeline;

        CREATE TABLE pipeline.enhancement_history (
            id                     bigserial PRIMARY KEY,
            correlation_id         uuid NOT NULL UNIQUE,
            tenant_id              varchar(255) NOT NULL,
            ticket_id              varchar(255) NOT NULL,
            job_id                 uuid NOT NULL UNIQUE,
            status                 varchar(50) NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
            started_at             timestamptz NOT NULL,
            completed_at           timestamptz,
            processing_time_ms     integer,
            context_nodes_success  integer,
            context_nodes_failed   integer,
            llm_provider           varchar(100),
            llm_model              varchar(100),
            error_message          text,
            created_at             timestamptz NOT NULL DEFAULT now(),
            updated_at             timestamptz NOT NULL DEFAULT now(),
            attempt                integer NOT NULL DEFAULT 1,
            dagster_run_id         text,
            received_at            timestamptz,
            generated_without_ai   boolean,
            prompt_tokens          integer,
            completion_tokens      integer,
            cost_usd               numeric(12, 6),
            content_hash           char(64),
            enhancement            text,
            sources                jsonb NOT NULL DEFAULT '[]',
            note_id                text,
            skipped                boolean NOT NULL DEFAULT false,
            CHECK (context_nodes_success + context_nodes_failed = 4)
        );
        CREATE INDEX idx_correlation_id ON pipeline.enhancement_history (correlation_id);
        CREATE INDEX idx_tenant_ticket ON pipeline.enhancement_history (tenant_id, ticket_id);
        CREATE INDEX idx_status ON pipeline.enhancement_history (status);

        CREATE TABLE pipeline.op_outputs (
            run_id       text NOT NULL,
            step_key     text NOT NULL,
            name         text NOT NULL,
            mapping_key  text NOT NULL DEFAULT '',
            value        jsonb NOT NULL,
            created_at   timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (run_id, step_key, name, mapping_key)
        );
        CREATE INDEX op_outputs_created ON pipeline.op_outputs (created_at);

        CREATE TABLE pipeline.oauth_tokens (
            tenant_id    varchar(63) PRIMARY KEY,
            token        bytea NOT NULL,      -- Fernet token
            expires_at   timestamptz NOT NULL,
            updated_at   timestamptz NOT NULL DEFAULT now()
        );
    """)
