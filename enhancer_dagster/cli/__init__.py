"""The `enhancer` command. Each module holds a group of commands and imports what they need when they run."""

import os

import typer

from enhancer_dagster.cli import (
    daemon,
    doctor,
    index,
    keys,
    quarantine,
    retry,
    search,
    simulator,
    system,
    tenants,
    tickets,
)

app = typer.Typer(
    help="Enhances ServiceDesk Plus tickets: `enhancer demo` shows it, `enhancer up` runs it.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
system.register(app)
tickets.register(app)
retry.register(app)
search.register(app)
doctor.register(app)
daemon.register(app)
simulator.register(app)
keys.register(tenants.app)
app.add_typer(tenants.app, name="tenants")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(index.app, name="index")


@app.callback()
def _name_connections() -> None:
    os.environ.setdefault("PGAPPNAME", "enhancer-cli")
