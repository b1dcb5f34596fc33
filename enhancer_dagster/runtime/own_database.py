"""What a PostgreSQL of the user's own must offer, looked at before anything is created in it.

A server that is too old, or a right that is missing, would else show as a statement that fails half-way.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from pydantic import SecretStr

from enhancer_dagster.database import CONNECT_SECONDS
from enhancer_dagster.domain.errors import ConfigurationError, DatabaseUnavailableError

OLDEST_VERSION = 15
"""The oldest that the tests run on."""

NOTIFICATION_SECONDS = 2.0

ABOUT = """
    SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
        current_database() AS database, current_user AS role, current_setting('server_encoding') AS encoding,
        current_setting('transaction_read_only') = 'on' AS is_read_only,
        has_database_privilege(current_database(), 'CREATE') AS may_create_schemas,
        coalesce(current_schema(), 'public') AS schema,
        coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create_tables,
        CASE WHEN inet_server_addr() IS NULL THEN 'a local socket'
            WHEN (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) THEN 'TLS'
            ELSE 'TCP without TLS' END AS way
"""
OWNED_BY_OTHERS = """
    SELECT format('%%I.%%I', nspname, relname) AS name, pg_get_userbyid(relowner) AS owner
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = ANY(%s) AND relkind IN ('r', 'p', 'S') AND NOT pg_has_role(relowner, 'USAGE')
    ORDER BY 1 LIMIT 1
"""
SCHEMAS = ("registry", "bridge", "pipeline")


def require_product_database(url: SecretStr) -> str:
    """Check the database of tenants, queue and history.

    Returns:
        What is there, for people: the version, and the way to it.

    Raises:
        ConfigurationError: It cannot serve; the message names everything that is missing.
        DatabaseUnavailableError: It cannot be reached.
    """
    with _connected(url, "ENHANCER_DATABASE_URL") as connection:
        about = _one(connection, ABOUT)
        _require_usable(connection, about, SCHEMAS, "schemas", f'DATABASE "{about["database"]}"')
    return f"PostgreSQL {about['version']} over {about['way']}"


def require_dagster_database(url: SecretStr) -> None:
    """Check Dagster's own database; its tables lie in the schema that comes first in the search path.

    Raises:
        ConfigurationError: It cannot serve; the message names everything that is missing.
        DatabaseUnavailableError: It cannot be reached.
    """
    with _connected(url, "ENHANCER_DAGSTER_DATABASE_URL") as connection:
        about = _one(connection, ABOUT)
        _require_usable(connection, about, [about["schema"]], "tables", f'SCHEMA "{about["schema"]}"')


def notifications_arrive(url: SecretStr) -> bool:
    """Whether what one connection sends with NOTIFY reaches another that listens.

    It does not where a pooler in transaction mode lies between: the session that listened is somebody else's.

    Raises:
        DatabaseUnavailableError: The database cannot be reached.
    """
    channel = f"enhancer_probe_{uuid4().hex}"
    setting = "ENHANCER_DATABASE_URL"
    with _connected(url, setting) as listening, _connected(url, setting) as sending:
        listening.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        sending.execute("SELECT pg_notify(%s, '')", [channel])
        return any(True for _ in listening.notifies(timeout=NOTIFICATION_SECONDS, stop_after=1))


def shortcomings(about: dict[str, Any]) -> Iterator[str]:
    """What is wrong with any database of which `ABOUT` says this, in words."""
    if about["number"] < OLDEST_VERSION * 10_000:
        yield f"it is PostgreSQL {about['version']}, and {OLDEST_VERSION} is the oldest that is supported"
    if about["encoding"] != "UTF8":
        yield f"its encoding is {about['encoding']}: create it with ENCODING 'UTF8' TEMPLATE template0"
    if about["is_read_only"]:
        yield "it is read-only: give the address of the primary, not of a replica"


def _require_usable(
    connection: psycopg.Connection[DictRow],
    about: dict[str, Any],
    schemas: Sequence[str],
    created: str,
    place: str,
) -> None:
    """Refuse a database of which `ABOUT` says this, unless `created` may be created in `place`."""
    problems = [*shortcomings(about), *_owned_by_others(connection, schemas)]
    if not about[f"may_create_{created}"]:
        role = about["role"]
        problems.append(f'{role} may not create {created}: GRANT CREATE ON {place} TO "{role}"')
    if problems:
        raise ConfigurationError(f"the database {about['database']} cannot be used: {'; '.join(problems)}")


def _connected(url: SecretStr, setting: str) -> psycopg.Connection[DictRow]:
    try:
        return psycopg.Connection[DictRow].connect(
            url.get_secret_value(), autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_SECONDS
        )
    except psycopg.ProgrammingError:
        # The error quotes what it could not read, which may be the password.
        raise ConfigurationError(
            f"{setting} cannot be read: it must be postgresql://ROLE:PASSWORD@HOST/DATABASE, with what is "
            "special in a password percent-encoded"
        ) from None
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"the database of {setting} cannot be reached: {error}") from error


def _owned_by_others(connection: psycopg.Connection[DictRow], schemas: Sequence[str]) -> Iterator[str]:
    found = connection.execute(OWNED_BY_OTHERS, [list(schemas)]).fetchone()
    if found is not None:
        yield (
            f"{found['name']} belongs to {found['owner']}: restore with --no-owner as the role that the "
            f'address names, or REASSIGN OWNED BY "{found["owner"]}"'
        )


def _one(connection: psycopg.Connection[DictRow], query: Any) -> dict[str, Any]:
    row = connection.execute(query).fetchone()
    if row is None:
        raise DatabaseUnavailableError("PostgreSQL answered nothing")
    return row
