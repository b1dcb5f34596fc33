"""An installation made ready: database running and migrated, secrets there, every setting filled in."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from enhancer_dagster.adapters.secrets import generate_key
from enhancer_dagster.database import migrate
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.dagster_storage import create_tables
from enhancer_dagster.runtime.own_database import require_dagster_database, require_product_database
from enhancer_dagster.runtime.postgres import embedded_postgres
from enhancer_dagster.settings import Settings

DATABASE = "enhancer"
DAGSTER_DATABASE = "enhancer_dagster"
KEYS_FILE = "secret.key"
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@contextmanager
def ready_installation(settings: Settings) -> Iterator[Settings]:
    """The settings with nothing left open, while the database is running.

    The embedded PostgreSQL is started, or shared with a system that runs already. Databases are created and
    migrated, keys generated on first use.

    Raises:
        ConfigurationError: Something is missing that only the operator can give; the message says what.
        DatabaseUnavailableError: PostgreSQL cannot be reached.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    for folder in settings.private_folders:
        folder.mkdir(exist_ok=True, mode=0o700)
    if settings.database_url is None:
        with embedded_postgres(settings.data_dir / "postgres") as server:
            urls = {
                "database_url": server.create_database(DATABASE),
                "dagster_database_url": server.create_database(DAGSTER_DATABASE),
            }
            yield _prepared(settings.model_copy(update=urls | _generated_secrets(settings)))
    else:
        require_product_database(settings.database_url)
        given = settings.model_copy(update=_given(settings))
        if given.dagster_database_url is not None:
            require_dagster_database(given.dagster_database_url)
        yield _prepared(given)


def environment_of(settings: Settings) -> dict[str, str]:
    """`settings` as environment variables for child processes, added to this process's own."""
    known: dict[str, str] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            known[name] = value.get_secret_value()
        elif isinstance(value, str | int | float | Path):
            known[name] = str(value)
        elif isinstance(value, tuple):
            known[name] = ",".join(map(str, value))
    ours = {f"ENHANCER_{name.upper()}": value for name, value in known.items()}
    return {**os.environ, **ours}


def kept_keys(settings: Settings) -> Path | None:
    """The file with the keys that encrypt secrets, None where the operator keeps them in the environment.

    Args:
        settings: As they were given, not yet made ready.
    """
    if settings.database_url is not None or settings.secret_key is not None:
        return None
    return settings.keys_folder / KEYS_FILE


def replace_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, NEW_FILE, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _prepared(settings: Settings) -> Settings:
    if settings.database_url is None:
        raise ConfigurationError("no database: set ENHANCER_DATABASE_URL")
    if settings.dagster_database_url is None:
        raise ConfigurationError("no database for Dagster: set ENHANCER_DAGSTER_DATABASE_URL")
    migrate(settings.database_url)
    create_tables(settings.dagster_database_url.get_secret_value())
    return settings


def _generated_secrets(settings: Settings) -> dict[str, SecretStr]:
    folder = settings.keys_folder
    return {
        "secret_key": settings.secret_key or _kept(folder / KEYS_FILE, generate_key),
        "claim_token": settings.claim_token
        or _kept(folder / "claim.token", lambda: SecretStr(secrets.token_urlsafe(32))),
    }


def _kept(path: Path, generate: Callable[[], SecretStr]) -> SecretStr:
    with suppress(FileExistsError), os.fdopen(os.open(path, NEW_FILE, 0o600), "w") as file:
        file.write(generate().get_secret_value())
    return SecretStr(path.read_text().strip())


def _given(settings: Settings) -> dict[str, SecretStr]:
    missing = [name for name in ("secret_key", "claim_token") if getattr(settings, name) is None]
    if missing:
        names = " and ".join(f"ENHANCER_{name.upper()}" for name in missing)
        raise ConfigurationError(
            f"with a database of your own, set {names} too: they are generated only for the embedded one"
        )
    if settings.database_url is None or settings.dagster_database_url is not None:
        return {}
    url = make_url(settings.database_url.get_secret_value())
    return {"dagster_database_url": _beside(url.database or "enhancer", settings.database_url)}


def _beside(name: str, url: SecretStr) -> SecretStr:
    wanted = f"{name}_dagster"
    try:
        with psycopg.connect(url.get_secret_value(), autocommit=True, connect_timeout=5) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [wanted]).fetchone()
            if not known:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(wanted)))
    except psycopg.Error as error:
        raise ConfigurationError(
            f"Dagster needs a database of its own and {wanted!r} could not be made ({error}): "
            "create one and set ENHANCER_DAGSTER_DATABASE_URL"
        ) from error
    # By hand: SQLAlchemy writes a space in a password as it is, and libpq refuses that.
    address, mark, options = url.get_secret_value().partition("?")
    scheme, separator, rest = address.partition("://")
    return SecretStr(f"{scheme}{separator}{rest.partition('/')[0]}/{wanted}{mark}{options}")
