"""`python -m enhancer_dagster.runtime.warm_launcher serve|warm|status|stop`, with DAGSTER_HOME set."""

import argparse
import json
import socket
import sys
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.instance import InstanceRef
from dagster._serdes import deserialize_value

from enhancer_dagster.logs import configure_logging
from enhancer_dagster.runtime.warm_launcher.client import (
    DispatcherClient,
    DispatcherUnreachableError,
    stop_dispatcher,
)
from enhancer_dagster.runtime.warm_launcher.folder import LauncherFolder
from enhancer_dagster.runtime.warm_launcher.orders import Request
from enhancer_dagster.runtime.warm_launcher.server import serve
from enhancer_dagster.runtime.warm_launcher.warming import warm_up


def main() -> int:
    """Run a command; 0 if it did what it should."""
    arguments = _parser().parse_args()
    configure_logging()
    if arguments.command == "serve":
        serve(*_who_is_served(arguments.listener))
    with DagsterInstance.get() as instance:
        folder = LauncherFolder(instance.root_directory)
        if arguments.command == "stop":
            return 0 if stop_dispatcher(folder) else 1
        if arguments.command == "warm":
            return _warm(instance, arguments.workspace)
        return _print_status(DispatcherClient(folder, instance.get_ref()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="warm_launcher", description="The warm run launcher's dispatcher.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="be the dispatcher, under a supervisor")
    serving.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    warming = commands.add_parser("warm", help="load the code before the first run")
    warming.add_argument("-w", "--workspace", type=Path, default=Path("workspace.yaml"))
    commands.add_parser("status", help="templates, workers and their memory, as JSON")
    commands.add_parser("stop", help="end the dispatcher; runs in flight fail")
    return parser


def _who_is_served(listener: int | None) -> tuple[DagsterInstance, socket.socket | None]:
    if listener is None:
        return DagsterInstance.get(), None
    reference = deserialize_value(sys.stdin.read(), InstanceRef)
    return DagsterInstance.from_ref(reference), socket.socket(fileno=listener)


def _warm(instance: DagsterInstance, workspace: Path) -> int:
    problems = warm_up(instance, workspace)
    for location, problem in problems.items():
        sys.stderr.write(f"{location} cannot be preloaded: {problem}\n")
    return 1 if problems else 0


def _print_status(client: DispatcherClient) -> int:
    try:
        status = client.ask(Request(ask="status"))
    except DispatcherUnreachableError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(status, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
