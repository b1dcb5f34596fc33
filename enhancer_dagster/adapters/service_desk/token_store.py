"""Access tokens in PostgreSQL (`pipeline.oauth_tokens`), encrypted, renewed by one worker at a time."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import DictRow
from pydantic import SecretStr

from enhancer_dagster.adapters.secrets import Cipher
from enhancer_dagster.adapters.service_desk.oauth import AccessToken
from enhancer_dagster.database import Database
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import ConfigurationError, ServiceDeskUnavailableError

_LOAD = "SELECT token, expires_at, updated_at FROM pipeline.oauth_tokens WHERE tenant_id = %s"
_STORE = """
    INSERT INTO pipeline.oauth_tokens (tenant_id, token, expires_at, updated_at) VALUES (%s, %s, %s, %s)
    ON CONFLICT (tenant_id) DO UPDATE
    SET token = excluded.token, expires_at = excluded.expires_at, updated_at = excluded.updated_at
"""
_LIMIT_WAIT = "SELECT set_config('lock_timeout', %s, true)"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('pipeline.oauth_tokens/' || %s, 0))"

Connection = psycopg.Connection[DictRow]


class PostgresTokenStore:
    """The `TokenStore` of an installation."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    def load(self, tenant_id: str) -> AccessToken | None:
        """The stored token, however old; None too where it cannot be decrypted any more."""
        with self._database.transaction() as connection:
            return self._load(connection, tenant_id)

    def renew(
        self,
        tenant_id: str,
        usable: Callable[[AccessToken], bool],
        refresh: Callable[[], AccessToken],
        deadline: Deadline,
    ) -> AccessToken:
        """The stored token if it is `usable`, else what `refresh` gives, stored; one worker at a time.

        The lock is the transaction's: a worker that dies lets go of it.

        Raises:
            ServiceDeskUnavailableError: Another worker held the lock until the deadline.
        """
        with self._database.transaction() as connection:
            _lock(connection, tenant_id, deadline)
            stored = self._load(connection, tenant_id)
            if stored is not None and usable(stored):
                return stored
            token = refresh()
            self._store(connection, tenant_id, token)
            return token

    def _load(self, connection: Connection, tenant_id: str) -> AccessToken | None:
        row = connection.execute(_LOAD, (tenant_id,)).fetchone()
        return None if row is None else self._token(row["token"], row["updated_at"], row["expires_at"])

    def _token(self, encrypted: bytes, obtained_at: datetime, expires_at: datetime) -> AccessToken | None:
        try:
            fields: dict[str, Any] = self._cipher.decrypt_fields(encrypted)
        except ConfigurationError:
            # Written under a key that is gone: a new token costs less than a stopped tenant.
            return None
        value = SecretStr(fields["value"])
        return AccessToken(value, fields["origin"], obtained_at, expires_at, fields["after_rejection"])

    def _store(self, connection: Connection, tenant_id: str, token: AccessToken) -> None:
        fields: dict[str, object] = {
            "value": token.value.get_secret_value(),
            "origin": token.origin,
            "after_rejection": token.after_rejection,
        }
        encrypted = self._cipher.encrypt_fields(fields)
        connection.execute(_STORE, (tenant_id, encrypted, token.expires_at, token.obtained_at))


def _lock(connection: Connection, tenant_id: str, deadline: Deadline) -> None:
    deadline.check("waiting for another worker's OAuth refresh")
    connection.execute(_LIMIT_WAIT, (f"{max(1, int(deadline.remaining() * 1000))}ms",))
    try:
        connection.execute(_LOCK, (tenant_id,))
    except errors.LockNotAvailable as error:
        raise ServiceDeskUnavailableError("another worker's OAuth refresh took too long") from error
