"""`enhancer tenants rotate-key`: the key under which secrets lie in the database."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from enhancer_dagster.adapters.secrets import generate_key
from enhancer_dagster.cli.common import console, installation, operator
from enhancer_dagster.cli.tenants import As, store
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.settings import Settings, load_settings


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(rotate_key)


def rotate_key(
    restarted: Annotated[
        bool, typer.Option("--restarted", help="Second step: everything was restarted since the first.")
    ] = False,
    by: As = None,
) -> None:
    """Encrypt all secrets under a new key; a running system goes on, and is restarted once in between.

    With ENHANCER_SECRET_KEY in the environment: put the new key before the old one there, by a comma,
    restart, run this with --restarted, and take the old key away. Edit no tenant during the second step.
    """
    from enhancer_dagster.runtime.installation import kept_keys

    with installation() as settings:
        file, keys = kept_keys(load_settings()), _keys(settings)
        if not restarted:
            _add_key(file, keys)
            return
        if len(keys) == 1:
            raise ConfigurationError("there is no second key yet: run enhancer tenants rotate-key first")
        count = _change_over(settings, file, keys, operator(by))
    left = "The old key is gone." if file else "Take the old key out of ENHANCER_SECRET_KEY and restart."
    console.print(f"The secrets of {count} tenants lie under the new key. {left}", soft_wrap=True)


def _add_key(file: Path | None, keys: list[str]) -> None:
    from enhancer_dagster.runtime.installation import replace_secret

    new = generate_key().get_secret_value()
    if file is None:
        raise ConfigurationError(
            "put a new key before the old one in ENHANCER_SECRET_KEY, by a comma, restart, and run this with "
            f"--restarted. A new key: {new}"
        )
    if len(keys) == 1:
        # Behind the old one: nothing is written under it before all processes know it.
        replace_secret(file, f"{keys[0]},{new}")
    console.print(
        "A new key is there. Restart `enhancer up`, then run: enhancer tenants rotate-key --restarted",
        soft_wrap=True,
    )


def _change_over(settings: Settings, file: Path | None, keys: list[str], by: str) -> int:
    from enhancer_dagster.runtime.installation import replace_secret

    # The file keeps both until all is written, so that a rotation that was cut off is begun again.
    newest_first = keys if file is None else [keys[-1], *keys[:-1]]
    renewed = settings.model_copy(update={"secret_key": SecretStr(",".join(newest_first))})
    count = store(renewed).reencrypt(by)
    if file is not None:
        replace_secret(file, newest_first[0])
    return count


def _keys(settings: Settings) -> list[str]:
    keys = settings.secret_key.get_secret_value() if settings.secret_key else ""
    return [key.strip() for key in keys.split(",") if key.strip()]
