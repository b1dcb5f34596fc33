"""The resources that ops, sensors and assets ask for: plain objects behind the domain's ports.

They hold no Dagster config, since a resource's `repr` would print it: each is made from the settings when a
run starts. Connections are opened on first use, after any fork.
"""

from collections.abc import Mapping

import dagster as dg

from enhancer_dagster.defs.assembly import op_outputs, ports_of
from enhancer_dagster.defs.attempts import RunClock
from enhancer_dagster.defs.io_manager import PostgresIOManager
from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.settings import Settings, load_settings


@dg.resource(description="The installation's settings, from the environment.")
def settings_resource() -> Settings:
    """The settings."""
    return load_settings()


@dg.resource(required_resource_keys={"settings"}, description="The run's start and its soft limit.")
def clock_resource(context: dg.InitResourceContext) -> RunClock:
    """The clock of a run, started with the run's resources."""
    return RunClock.started(context.resources.settings)


@dg.resource(
    required_resource_keys={"settings"},
    description="The outside: tenants, service desks, index, history, queue and language model.",
)
def ports_resource(context: dg.InitResourceContext) -> Ports:
    """Every adapter, not yet connected."""
    return ports_of(context.resources.settings)


@dg.io_manager(required_resource_keys={"settings"}, description="Op outputs as JSON in PostgreSQL.")
def io_manager_resource(context: dg.InitResourceContext) -> PostgresIOManager:
    """Where op outputs are."""
    return PostgresIOManager(op_outputs(context.resources.settings))


def default_resources() -> Mapping[str, dg.ResourceDefinition]:
    """The resources of a deployment, by name."""
    return {
        "settings": settings_resource,
        "clock": clock_resource,
        "ports": ports_resource,
        "io_manager": io_manager_resource,
    }
