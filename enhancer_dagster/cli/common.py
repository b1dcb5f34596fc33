"""What the commands share: the installation they work on, and errors as one line that says what to do."""

import getpass
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console

from enhancer_dagster.domain.errors import BridgeUnavailableError, EnhancerError, IndexUnavailableError
from enhancer_dagster.settings import Settings, load_settings

console = Console()
errors = Console(stderr=True)


@contextmanager
def installation() -> Iterator[Settings]:
    """The installation that the environment describes, its database running.

    Raises:
        typer.Exit: It cannot be used; why is on stderr.
    """
    from enhancer_dagster.runtime.installation import ready_installation

    with clear_errors(), ready_installation(load_settings()) as settings:
        yield settings


@contextmanager
def clear_errors() -> Iterator[None]:
    """Errors of the product and of its settings as a line on stderr and exit status 1."""
    try:
        yield
    except EnhancerError as error:
        advice = "; is `enhancer up` running?" if isinstance(error, BridgeUnavailableError) else ""
        errors.print(f"[red]error:[/red] {error}{advice}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in problem["loc"])
            errors.print(f"[red]error:[/red] {name}: {problem['msg']}", highlight=False)
        raise typer.Exit(1) from error


def require_index(settings: Settings, tenant_id: str) -> None:
    """Stop where the tenant has no index, and say who has one.

    Raises:
        IndexUnavailableError: Nothing is published for this tenant.
        ConfigurationError: The tenant's id is none.
    """
    from enhancer_dagster.search.location import TenantLocation, tenants_with_index

    if TenantLocation(settings.index_location, tenant_id).has_pointer():
        return
    known = ", ".join(tenants_with_index(settings.index_location)) or "nobody"
    raise IndexUnavailableError(
        f"no index of tenant {tenant_id!r} is published at {settings.index_location}; there is one of "
        f"{known}. `enhancer index build --tenant {tenant_id}` builds it"
    )


def operator(given: str | None = None) -> str:
    """Who is at the keyboard, for the audit: the user of this machine, behind the name that was `given`."""
    user = f"{getpass.getuser()}@{socket.gethostname()}"
    return f"{given} ({user})" if given else user


def print_json(value: Any) -> None:
    """`value` as one JSON document on stdout."""
    json.dump(value, sys.stdout, default=str, indent=2)
    sys.stdout.write("\n")
