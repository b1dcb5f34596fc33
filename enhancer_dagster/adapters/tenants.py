"""The tenants table: what is no secret as JSON, secrets as one encrypted token, every change audited."""

from collections.abc import Sequence
from typing import Any, LiteralString

from psycopg.types.json import Jsonb
from pydantic import BaseModel, SecretStr

from enhancer_dagster.adapters.secrets import Cipher
from enhancer_dagster.database import Database
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.tenants import Tenant

CHANGED_CHANNEL = "registry_changed"
"""Every change is announced here with the tenant's id, so that caches can drop it."""

CONNECTION_SECRETS = ("api_key", "client_secret", "refresh_token")

INSERT = """
    INSERT INTO registry.tenants (tenant_id, name, active, profile, secrets, created_at)
    VALUES (%(tenant_id)s, %(name)s, %(active)s, %(profile)s, %(secrets)s, %(created_at)s)
    ON CONFLICT (tenant_id) DO NOTHING RETURNING tenant_id
"""
UPDATE = """
    UPDATE registry.tenants
    SET name = %(name)s, active = %(active)s, profile = %(profile)s, secrets = %(secrets)s, updated_at = now()
    WHERE tenant_id = %(tenant_id)s RETURNING tenant_id
"""
AUDIT = """
    INSERT INTO registry.tenant_audit (tenant_id, changed_by, action, changes) VALUES (%s, %s, %s, %s)
"""


class AuditEntry(BaseModel):
    """One change of a tenant. Of secrets it names the field, never the value."""

    tenant_id: str
    changed_at: Any
    changed_by: str
    action: str
    changes: dict[str, Any]


class TenantStore:
    """Reads and writes tenants.

    Args:
        database: The product's PostgreSQL.
        cipher: Encrypts and decrypts the secrets.
    """

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    def get(self, tenant_id: str) -> Tenant:
        """The tenant.

        Raises:
            ConfigurationError: There is none of this id.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT * FROM registry.tenants WHERE tenant_id = %s", [tenant_id]
            ).fetchone()
        if row is None:
            raise ConfigurationError(f"there is no tenant {tenant_id!r}: see `enhancer tenants list`")
        return self._tenant(row)

    def list_all(self) -> Sequence[Tenant]:
        """Every tenant, disabled ones too, by id."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT * FROM registry.tenants ORDER BY tenant_id").fetchall()
        return [self._tenant(row) for row in rows]

    def add(self, tenant: Tenant, changed_by: str) -> None:
        """Store a new tenant.

        Raises:
            ConfigurationError: The id is taken.
        """
        self._write(INSERT, tenant, changed_by, "add", f"there is a tenant {tenant.tenant_id!r} already")

    def update(self, tenant: Tenant, changed_by: str, action: str = "edit") -> None:
        """Store a changed tenant.

        Raises:
            ConfigurationError: There is none of this id.
        """
        before = self.get(tenant.tenant_id)
        self._write(UPDATE, tenant, changed_by, action, f"there is no tenant {tenant.tenant_id!r}", before)

    def audit(self, tenant_id: str | None = None) -> Sequence[AuditEntry]:
        """Who changed what, newest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT tenant_id, changed_at, changed_by, action, changes FROM registry.tenant_audit "
                "WHERE %(id)s::text IS NULL OR tenant_id = %(id)s ORDER BY id DESC",
                {"id": tenant_id},
            ).fetchall()
        return [AuditEntry(**row) for row in rows]

    def reencrypt(self, changed_by: str) -> int:
        """Write every tenant's secrets anew under the first key, all or none; returns how many tenants.

        Raises:
            ConfigurationError: Some cannot be read under any key; nothing is changed.
        """
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT tenant_id, secrets FROM registry.tenants ORDER BY tenant_id FOR UPDATE"
            ).fetchall()
            for row in rows:
                anew = self._cipher.encrypt(self._cipher.decrypt(row["secrets"]))
                connection.execute(
                    "UPDATE registry.tenants SET secrets = %s WHERE tenant_id = %s", [anew, row["tenant_id"]]
                )
                connection.execute(AUDIT, [row["tenant_id"], changed_by, "rotate-key", Jsonb({})])
        return len(rows)

    def _write(
        self,
        statement: LiteralString,
        tenant: Tenant,
        by: str,
        action: str,
        refusal: str,
        before: Tenant | None = None,
    ) -> None:
        values = _profile(tenant) | {"secrets": self._cipher.encrypt_fields(_secrets(tenant))}
        with self._database.transaction() as connection:
            if connection.execute(statement, values).fetchone() is None:
                raise ConfigurationError(refusal)
            connection.execute(AUDIT, [tenant.tenant_id, by, action, Jsonb(_changes(before, tenant))])
            connection.execute("SELECT pg_notify(%s, %s)", [CHANGED_CHANNEL, tenant.tenant_id])

    def _tenant(self, row: dict[str, Any]) -> Tenant:
        secrets = self._cipher.decrypt_fields(row["secrets"])
        profile = dict(row["profile"])
        profile["service_desk"] = profile["service_desk"] | {
            name: secrets.get(name) for name in CONNECTION_SECRETS
        }
        return Tenant(
            tenant_id=row["tenant_id"],
            name=row["name"],
            active=row["active"],
            created_at=row["created_at"],
            webhook_secrets=secrets["webhook_secrets"],
            **profile,
        )


def _profile(tenant: Tenant) -> dict[str, Any]:
    dumped = tenant.model_dump(
        mode="json", exclude={"webhook_secrets": True, "service_desk": set(CONNECTION_SECRETS)}
    )
    columns = {name: dumped.pop(name) for name in ("tenant_id", "name", "active", "created_at")}
    return columns | {"profile": Jsonb(dumped)}


def _secrets(tenant: Tenant) -> dict[str, Any]:
    of_connection = {name: _plain(getattr(tenant.service_desk, name)) for name in CONNECTION_SECRETS}
    return of_connection | {"webhook_secrets": [_plain(secret) for secret in tenant.webhook_secrets]}


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _changes(before: Tenant | None, after: Tenant) -> dict[str, Any]:
    if before is None:
        return {}
    old, new = _flat(before), _flat(after)
    changes: dict[str, Any] = {
        name: {"from": old.get(name), "to": value} for name, value in new.items() if old.get(name) != value
    }
    old_secrets = _secrets(before)
    return changes | {
        name: "changed" for name, value in _secrets(after).items() if old_secrets[name] != value
    }


def _flat(tenant: Tenant) -> dict[str, Any]:
    columns = _profile(tenant)
    profile = columns.pop("profile").obj
    desk = {f"service_desk.{name}": value for name, value in profile.pop("service_desk").items()}
    columns.pop("created_at")
    return columns | profile | desk
