"""A sidecar on a TCP port, in a thread of its own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc.aio

from transport import database
from transport.server import OPTIONS, Server


class Sidecar:
    """Its address, and the means to make it go away and come back there."""

    def __init__(self, services: dict[str, Any], identify: Any, **options: Any) -> None:
        self._services, self._identify, self._options = services, identify, options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: grpc.aio.Server | None = None
        self.address = ""

    def start(self) -> None:
        self._do(self._start())

    def stop(self) -> None:
        """Every call under way ends at once."""
        if self._server is not None:
            self._do(self._server.stop(0))

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=OPTIONS)
        Server(self._services, identify=self._identify, **self._options).mount(self._server)
        port = self._server.add_insecure_port(self.address or "127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    @contextmanager
    def running(self) -> Iterator[Sidecar]:
        self._thread.start()
        self.start()
        yield self
        self.stop()
        self._do(database.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
