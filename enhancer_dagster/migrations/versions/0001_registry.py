"""Tenants, and who changed them."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE registry.tenants (
            tenant_id   varchar(63) PRIMARY KEY,
            name        text NOT NULL DEFAULT '',
            active      boolean NOT NULL DEFAULT true,
            profile     jsonb NOT NULL,       -- everything that is no secret
            secrets     bytea NOT NULL,       -- Fernet token of a JSON object
            created_at  timestamptz NOT NULL DEFAULT now(),
            updated_at  timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE registry.tenant_audit (
            id          bigserial PRIMARY KEY,
            tenant_id   varchar(63) NOT NULL,
            changed_at  timestamptz NOT NULL DEFAULT now(),
            changed_by  text NOT NULL,
            action      text NOT NULL,
            changes     jsonb NOT NULL        -- names of secrets, never their values
        );
        CREATE INDEX tenant_audit_tenant ON registry.tenant_audit (tenant_id, changed_at);
    """)
