"""The bridge as a process: two listeners on one event loop, until a signal."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
import uvloop
from fastapi import FastAPI
from loguru import logger

from enhancer_dagster.adapters.secrets import Cipher
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.bridge.http_protocol import ImpatientProtocol
from enhancer_dagster.bridge.service import Bridge
from enhancer_dagster.database import Database
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.logs import configure_logging
from enhancer_dagster.settings import Settings

BACKLOG = 2048
GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
DATE_SECONDS = 1.0


def serve(settings: Settings) -> None:
    """Run the bridge until SIGTERM or SIGINT. PostgreSQL may come up later, and go away in between.

    Raises:
        ConfigurationError: A setting is missing, or a port is taken.
    """
    configure_logging(settings.log_level)
    bridge = _bridge(settings)
    with (
        bound(settings.webhook_host, settings.webhook_port, "ENHANCER_WEBHOOK_PORT") as public,
        bound(settings.claim_host, settings.claim_port, "ENHANCER_CLAIM_PORT") as claims,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve_until_signal(bridge, public, claims, settings.webhook_trusted_proxies))


async def listen(
    bridge: Bridge,
    public: socket.socket,
    claims: socket.socket,
    stop: asyncio.Event,
    trusted_proxies: str = "",
) -> None:
    """Serve both listeners until `stop`; then long polls end empty and requests under way are answered.

    Args:
        bridge: What to serve.
        public: A bound socket for webhooks.
        claims: A bound socket for the pipeline.
        stop: Ends it.
        trusted_proxies: `Settings.webhook_trusted_proxies`.
    """
    servers = {
        public: _Server(_config(bridge.public_app, trusted_proxies), stop),
        claims: _Server(_config(bridge.claim_app, ""), stop),
    }
    async with bridge.running(), asyncio.TaskGroup() as group:
        for listener, server in servers.items():
            group.create_task(server.serve(sockets=[listener]))
        logger.info("webhooks on {}, claims on {}", public.getsockname()[:2], claims.getsockname()[:2])
        await stop.wait()
        bridge.wakeups.close()


async def _serve_until_signal(
    bridge: Bridge, public: socket.socket, claims: socket.socket, trusted_proxies: str
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await listen(bridge, public, claims, stop, trusted_proxies)
    logger.info("the bridge has stopped")


class _Server(uvicorn.Server):
    """One of several servers on a loop: signals are the process's business, and it ends with `stop`."""

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def main_loop(self) -> None:
        """Serve until the end. The inherited loop wakes up ten times a second to look for it."""
        while not self._stop.is_set():
            await self.on_tick(counter=0)  # sets the Date header
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), DATE_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[override]
        """Leave the signal handlers alone."""
        yield


def _config(app: FastAPI, trusted_proxies: str) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # its warnings are strangers' malformed requests
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _bridge(settings: Settings) -> Bridge:
    if settings.database_url is None or settings.secret_key is None or settings.claim_token is None:
        raise ConfigurationError(
            "the bridge needs ENHANCER_DATABASE_URL, ENHANCER_SECRET_KEY and ENHANCER_CLAIM_TOKEN; "
            "`enhancer up` sets all three"
        )
    tenants = TenantStore(Database(settings.database_url, max_size=1), Cipher(settings.secret_key))
    return Bridge(settings, settings.database_url, settings.claim_token, tenants)


@contextlib.contextmanager
def bound(host: str, port: int, setting: str) -> Iterator[socket.socket]:
    """A listening socket; port 0 takes any free one.

    Raises:
        ConfigurationError: The address cannot be had; the message names `setting`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port} ({error.strerror}): set {setting}"
        ) from error
    with listener:
        yield listener
