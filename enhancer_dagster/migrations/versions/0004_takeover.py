"""From which attempt on a job's runs go on with each other's results."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        -- A person who asks for a job again wants it made anew: what earlier attempts found is not used.
        ALTER TABLE bridge.jobs ADD COLUMN fresh_since integer NOT NULL DEFAULT 1
    """)
