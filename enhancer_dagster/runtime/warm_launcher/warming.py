"""Loading the code of a workspace before its first run, so that this one is as fast as the others."""

from collections.abc import Iterator
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster._serdes import serialize_value

from enhancer_dagster.runtime.warm_launcher.client import DispatcherClient
from enhancer_dagster.runtime.warm_launcher.folder import LauncherFolder
from enhancer_dagster.runtime.warm_launcher.orders import Code, Request

LOAD_SECONDS = 180.0


def warm_up(instance: DagsterInstance, workspace: Path) -> dict[str, str]:
    """Have the dispatcher, which is started if need be, load the workspace's code, and wait for it.

    Only locations on code servers of their own (`grpc_server`) can be asked for their code; the others are
    loaded with their first run.

    Args:
        instance: Whose dispatcher it is.
        workspace: The `workspace.yaml`; its code servers must run.

    Returns:
        By location, why it gets no warm workers; empty if all is well.

    Raises:
        DispatcherUnreachableError: The dispatcher does not answer.
        dagster._core.errors.DagsterUserCodeUnreachableError: A code server does not answer.
    """
    client = DispatcherClient(LauncherFolder(instance.root_directory), instance.get_ref())
    problems: dict[str, str] = {}
    try:
        for code in _codes(instance, workspace):
            answer = client.ask(Request(ask="warm", code=code), start=True, timeout=LOAD_SECONDS)
            if answer["problem"] is not None:
                problems[code.location] = answer["problem"]
    finally:
        client.close()
    return problems


def _codes(instance: DagsterInstance, workspace: Path) -> Iterator[Code]:
    for origin in location_origins_from_yaml_paths([str(workspace)]):
        if not isinstance(origin, GrpcServerCodeLocationOrigin):
            continue
        with origin.create_location(instance) as location:
            for repository in location.repository_code_pointer_dict:
                yield Code(
                    location=origin.location_name,
                    origin=serialize_value(location.get_repository_python_origin(repository)),
                    server_id=location.server_id,
                )
