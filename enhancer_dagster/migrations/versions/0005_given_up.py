"""Jobs whose run was given up: it may still say that it had completed them."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        -- The lease of its run ran out, and nothing has happened to the job since.
        ALTER TABLE bridge.jobs ADD COLUMN run_given_up boolean NOT NULL DEFAULT false,
            ADD CHECK (NOT run_given_up OR state IN ('queued', 'dead'));
        UPDATE bridge.jobs SET run_given_up = true WHERE state = 'dead' AND run_id IS NOT NULL;
        CREATE INDEX jobs_given_up ON bridge.jobs (received_at, job_id) WHERE run_given_up
    """)
