"""Leases that ran out through no fault of the ticket are counted apart."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        -- Leases that ran out before a run was let in, or while the system itself restarted.
        ALTER TABLE bridge.jobs ADD COLUMN excused integer NOT NULL DEFAULT 0
    """)
