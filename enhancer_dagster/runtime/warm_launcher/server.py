"""The dispatcher's process: its socket, its signals, and when it ends."""

import asyncio
import json
import os
import signal
import socket
from typing import NoReturn

import psutil
from dagster import DagsterInstance
from dagster import _check as check
from loguru import logger

from enhancer_dagster.runtime.warm_launcher.client import stop_dispatcher
from enhancer_dagster.runtime.warm_launcher.dispatcher import Dispatcher
from enhancer_dagster.runtime.warm_launcher.folder import LauncherFolder
from enhancer_dagster.runtime.warm_launcher.launcher import WarmRunLauncher, fingerprint
from enhancer_dagster.runtime.warm_launcher.linux import adopt_orphans, name_process
from enhancer_dagster.runtime.warm_launcher.orders import Request

MAX_REQUEST_BYTES = 2**20


class Server:
    """Answers requests until it is told to stop, or nobody needs it any more.

    Args:
        instance: Whose runs are dispatched.
        supervised: Whether somebody else decides when it ends.
    """

    def __init__(self, instance: DagsterInstance, supervised: bool) -> None:
        launcher = check.inst(instance.run_launcher, WarmRunLauncher)
        self._fingerprint = fingerprint(instance.get_ref())
        self._outdated = False
        self._linger_seconds = None if supervised else launcher.options.linger_seconds
        folder = LauncherFolder(instance.root_directory)
        self.dispatcher = Dispatcher(launcher.options, folder, instance.get_ref(), self._consider_end)
        self._ending = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def run(self, listener: socket.socket) -> None:
        """Serve on `listener`; returns when everything is ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        self.dispatcher.recover()
        server = await asyncio.start_unix_server(self._converse, sock=listener, limit=MAX_REQUEST_BYTES)
        self._consider_end()
        await self._ending.wait()
        server.close()
        await self.dispatcher.stop()
        for writer in self._writers:
            writer.close()
        while self._writers:
            await asyncio.sleep(0)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._consider_end()
        try:
            async for line in reader:
                if self._ending.is_set():
                    return
                answer = await self._answer(Request.model_validate_json(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:
            logger.warning("run launcher: a connection was closed: {}", error)
        finally:
            self._writers.discard(writer)
            writer.close()
            self._consider_end()

    async def _answer(self, request: Request) -> dict[str, object]:
        match request:
            case Request(ask="launch", order=order) if order is not None:
                self._outdated = request.instance != self._fingerprint
                self.dispatcher.launch(order)
                return {"accepted": True}
            case Request(ask="terminate", run_id=run_id) if run_id is not None:
                return {"known": self.dispatcher.terminate(run_id)}
            case Request(ask="knows", run_id=run_id) if run_id is not None:
                return {"known": self.dispatcher.knows(run_id)}
            case Request(ask="warm", code=code) if code is not None:
                return {"problem": await self.dispatcher.warm(code)}
            case Request(ask="status"):
                return {"pid": os.getpid(), "connections": len(self._writers), **self.dispatcher.status()}
            case Request(ask="stop"):
                self._ending.set()
                return {"stopping": True}
        raise ValueError(f"incomplete request: {request.ask}")

    def _consider_end(self) -> None:
        """End when idle: at once if `dagster.yaml` has changed, after a while if nobody is connected."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if not self.dispatcher.is_idle:
            return
        if self._outdated:
            logger.info("run launcher: dagster.yaml has changed, another dispatcher takes over")
            self._ending.set()
        elif self._linger_seconds is not None and not self._writers:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(self._linger_seconds, self._ending.set)


def serve(instance: DagsterInstance, listener: socket.socket | None) -> NoReturn:
    """Be the dispatcher of `instance` until the end of this process.

    Args:
        instance: Its `dagster.yaml` names the launcher and its settings.
        listener: The socket that a launcher has opened for the process that it starts; None if a supervisor
            starts it: then it takes the place of whoever serves now, and lives as long as it is let.
    """
    folder = LauncherFolder(instance.root_directory)
    supervised = listener is None
    name_process("warm-dispatcher")
    if listener is None:
        with folder.lock("start"):
            stop_dispatcher(folder)
            listener = folder.listen()
    with folder.lock("dispatcher"):
        adopt_orphans()
        asyncio.run(_serve(instance, listener, supervised))
        for descendant in psutil.Process().children(recursive=True):
            descendant.kill()
        # The kernel takes back the lock: who waits for it finds this process gone.
        os._exit(0)


async def _serve(instance: DagsterInstance, listener: socket.socket, supervised: bool) -> None:
    await Server(instance, supervised).run(listener)
