"""Many streams of one account at once, over gRPC and over HTTP: how many are served, and what the others are told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import httpx
from server import Server

DECIDED_WITHIN_S = 12.0  # a stream that has not ended by then is open: on a busy machine that takes its time
STREAMS_OF_A_CONNECTION = 90  # Envoy and grpcio let a connection have a hundred


def token(server: Server, account: str, secret: str, namespace: str) -> str:
    """An access token."""
    asked = {"id": account, "secret": secret, "token_expiry": 3600, "options": {"namespace": namespace}}
    return str(server.call("auth", "Auth.Token", asked)["token"]["access_token"])  # type: ignore[index]


@dataclass
class Crowd:
    """Streams that stay open, and those that were refused, by what they were told."""

    open: list[grpc.aio.StreamStreamCall] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    retry_after: set[str] = field(default_factory=set)


class Door:
    """The proxy as one account reaches it."""

    def __init__(self, server: Server, token: str) -> None:
        self.metadata = (("authorization", f"Bearer {token}"), ("micro-namespace", "micro"))
        self._address = f"127.0.0.1:{server.proxy_port}"
        self._channels: list[grpc.aio.Channel] = []
        self._opened = 0

    async def open(self, path: str, request: bytes, crowd: Crowd, *, within_s: float = 0.4) -> None:
        """Open a stream into the crowd: it counts as refused when it ends within a moment."""
        if self._opened % STREAMS_OF_A_CONNECTION == 0:
            alone = [("grpc.use_local_subchannel_pool", 1)]
            self._channels.append(grpc.aio.insecure_channel(self._address, options=alone))
        self._opened += 1
        call = self._channels[-1].stream_stream(path)(metadata=self.metadata)
        try:
            await call.write(request)
            async with asyncio.timeout(within_s):
                code = await call.code()
        except TimeoutError:
            crowd.open.append(call)
            return
        except grpc.aio.AioRpcError as error:
            crowd.refused[f"{error.code().name} {error.details()}"] += 1
            return
        except asyncio.InvalidStateError:  # it was refused before it was written to
            code = await call.code()
        crowd.refused[f"{code.name} {await call.details()}"] += 1

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


@asynccontextmanager
async def followers(server: Server, token: str, path: str, request: bytes, count: int) -> AsyncIterator[Crowd]:
    """So many gRPC streams at once; closed at the end."""
    door, crowd = Door(server, token), Crowd()
    try:
        await asyncio.gather(*(door.open(path, request, crowd, within_s=DECIDED_WITHIN_S) for _ in range(count)))
        yield crowd
    finally:
        await door.close()


@asynccontextmanager
async def readers(server: Server, token: str, path: str, count: int) -> AsyncIterator[Crowd]:
    """So many HTTP streams of the web process; closed at the end."""
    crowd, responses, readings = Crowd(), [], []  # type: ignore[var-annotated]
    limits = httpx.Limits(max_connections=count, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, timeout=30, headers={"Authorization": f"Bearer {token}"}) as client:

        async def read() -> None:
            request = client.build_request("GET", f"http://127.0.0.1:{server.web_port}{path}")
            response = await client.send(request, stream=True)
            if response.status_code == 200:
                responses.append(response)
                crowd.open.append(response)  # type: ignore[arg-type]
                readings.append(response.aiter_bytes())  # kept: one that is forgotten closes its connection
                await anext(readings[-1])
                return
            crowd.refused[f"{response.status_code} {(await response.aread()).decode()}"] += 1
            crowd.retry_after.add(response.headers.get("Retry-After", ""))

        try:
            for _ in range(count // 10):
                await asyncio.gather(*(read() for _ in range(10)))
            yield crowd
        finally:
            await asyncio.gather(*(response.aclose() for response in responses))
