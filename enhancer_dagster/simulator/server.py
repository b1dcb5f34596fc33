"""Serving a simulator: as a process of its own, or inside a test."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.app import create_app
from enhancer_dagster.simulator.gate import TRANSPORT_EXTENSION
from enhancer_dagster.simulator.options import NEW_ASSET_API_BUILD, SimulatorOptions
from enhancer_dagster.simulator.seed import Seed, sample_seed, tickets_of_file
from enhancer_dagster.simulator.simulator import Simulator
from enhancer_dagster.simulator.webhooks import WebhookTarget

_START_SECONDS = 10.0
_STOP_SECONDS = 1


class _CuttableProtocol(HttpToolsProtocol):
    """HTTP whose connection the app can reach, to cut it as a fault."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT_EXTENSION: self.transport}  # type: ignore[typeddict-item]


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that is being served.

    Attributes:
        origin: `http://127.0.0.1:PORT`; the cloud's token endpoint is below it.
        url: The base address of a client, in front of `/api/v3`.
        simulator: Its state.
    """

    origin: str
    url: str
    simulator: Simulator

    @property
    def admin_url(self) -> str:
        """Base address of the admin API."""
        return f"{self.origin}/_admin"


def run(
    host: str,
    port: int,
    edition: Edition,
    api_key: str,
    *,
    sample: bool = True,
    tickets_file: Path | None = None,
    build_number: int = NEW_ASSET_API_BUILD,
    portal: str = "itdesk",
    delay_seconds: float = 0.0,
    calls_per_minute: int | None = None,
    webhook: WebhookTarget | None = None,
) -> None:
    """Serve a simulator until SIGINT or SIGTERM.

    Args:
        host: Address to listen on; the admin API has no key, so keep to the loopback address.
        port: Port to listen on.
        edition: Which edition it stands in for.
        api_key: On premises the technician's key; in the cloud the refresh token.
        sample: Whether it starts with the sample service desk.
        tickets_file: New tickets to hold back instead of the sample's.
        build_number: On premises: which form of the asset API.
        portal: Cloud: the portal's name.
        delay_seconds: Time that every call takes at least.
        calls_per_minute: Limit before calls are throttled; None: none.
        webhook: Where webhooks go.

    Raises:
        SeedError: `tickets_file` cannot be read.
    """
    options = SimulatorOptions(
        edition=edition,
        api_key=api_key,
        build_number=build_number,
        portal=portal,
        delay_seconds=delay_seconds,
        calls_per_minute=calls_per_minute,
    )
    simulator = Simulator(options, seed=_seed(tickets_file, sample=sample), webhook=webhook)
    try:
        # uvicorn ends in order at a signal, and then raises it again.
        with suppress(KeyboardInterrupt):
            _server(simulator, host, port).run()
    finally:
        simulator.close()


@contextmanager
def running_simulator(simulator: Simulator | None = None) -> Iterator[RunningSimulator]:
    """Serve a simulator on a free loopback port from a thread, for the length of a `with` block.

    Args:
        simulator: The state to serve; None: an empty on-premises desk with the key "simulator".
    """
    simulator = simulator or Simulator()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = _server(simulator, "127.0.0.1", port)
        thread = threading.Thread(target=server.run, args=([listener],), name="simulator", daemon=True)
        thread.start()
        try:
            _await_start(server, thread)
            origin = f"http://127.0.0.1:{port}"
            yield RunningSimulator(origin, origin + simulator.options.base_path, simulator)
        finally:
            server.should_exit = True
            thread.join(_START_SECONDS)
            simulator.close()


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the simulator did not start")
        time.sleep(0.005)


def _seed(tickets_file: Path | None, *, sample: bool) -> Seed:
    seed = sample_seed() if sample else Seed()
    if tickets_file is None:
        return seed
    return Seed(seed.resolved, seed.articles, seed.assets, tickets_of_file(tickets_file))


def _server(simulator: Simulator, host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(simulator),
        host=host,
        port=port,
        http=_CuttableProtocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    return uvicorn.Server(config)
