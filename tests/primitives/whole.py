"""The whole sidecar, every table that it mounts, before a real Postgres and a real NATS, for tests of all methods."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from django.db import connections
from django.test import override_settings
from google.protobuf import json_format
from google.protobuf.message import Message

from micro.proto import auth_pb2
from primitives.auth.tokens import verifier
from primitives.rules.gatekeeper import Gatekeeper
from project.sidecar import Sidecar as Platform
from tests.primitives.conftest import Nats
from tests.primitives.serving import Sidecar
from transport.database import dsn
from transport.methods import Kind, Method
from transport.server import OPTIONS

JSON = {"x-content-type": "application/grpc+json"}
# What grpcio's client makes of an answer that comes while it is still writing.
OF_THE_CLIENT = "Internal error from Core"
STILL_OPEN = "STILL OPEN"  # how a stream ends that we left


@dataclass(frozen=True)
class Answer:
    """How a call ended, what its caller was told, and every byte that came."""

    code: str
    detail: str
    frames: bytes

    @property
    def outcome(self) -> tuple[str, str]:
        return self.code, self.detail


class Whole:
    """A running sidecar. Namespaces: micro of admin, shop of joe, rival of eve, who are admins there."""

    def __init__(self, sidecar: Sidecar, tables: dict[str, Any]) -> None:
        self._sidecar = sidecar
        self.methods: dict[str, Method] = {
            f"{service}.{name}": method for service, methods in tables.items() for name, method in methods.items()
        }

    @property
    def address(self) -> str:
        return self._sidecar.address

    def stop(self) -> None:
        """Cut everybody off."""
        self._sidecar.stop()

    def start(self) -> None:
        """Answer again, at the same address."""
        self._sidecar.start()

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self._sidecar.address, options=OPTIONS)

    async def token(self, channel: grpc.aio.Channel, namespace: str, id: str, secret: str) -> str:
        request = auth_pb2.TokenRequest(id=id, secret=secret, options={"namespace": namespace})
        call = channel.unary_unary("/auth.Auth/Token")
        reply = auth_pb2.TokenResponse.FromString(await call(request.SerializeToString(), timeout=20))
        return reply.token.access_token

    async def send(
        self, channel: grpc.aio.Channel, name: str, frames: Sequence[Message | bytes], **rest: Any
    ) -> Answer:
        """All that a call of `registry.Registry.Watch` brings; a stream that goes on is left after `patience_s`."""
        while (answer := await self._send(channel, name, frames, **rest)).detail == OF_THE_CLIENT:
            pass
        return answer

    async def _send(
        self,
        channel: grpc.aio.Channel,
        name: str,
        frames: Sequence[Message | bytes],
        *,
        token: str = "",
        headers: dict[str, str] | None = None,
        patience_s: float = 20.0,
    ) -> Answer:
        sent = dict(headers or {}) | ({"authorization": f"Bearer {token}"} if token else {})
        service, handler, method = name.split(".")
        payloads = [encoded(frame, as_json="json" in sent.get("x-content-type", "")) for frame in frames]
        call = channel.stream_stream(f"/{service}.{handler}/{method}")(iter(payloads), metadata=tuple(sent.items()))
        received = []
        try:
            async with asyncio.timeout(patience_s):
                async for frame in call:
                    received.append(frame)
                await call.code()
        except TimeoutError:
            call.cancel()
            return Answer(STILL_OPEN if self.is_live(name) else "TOO LATE", "", b"".join(received))
        except grpc.aio.AioRpcError as error:
            trailers = "".join(str(pair) for pair in error.trailing_metadata() or ())
            return Answer(error.code().name, _detail(error.details() or ""), b"".join(received) + trailers.encode())
        return Answer("OK", "", b"".join(received))

    def is_live(self, name: str) -> bool:
        """Whether the method may go on for ever."""
        return self.methods[name].kind in (Kind.SERVER_STREAM, Kind.BIDI)


def encoded(frame: Message | bytes, *, as_json: bool) -> bytes:
    if isinstance(frame, bytes):
        return frame
    if as_json:
        return json_format.MessageToJson(frame, preserving_proto_field_name=True).encode()
    return frame.SerializeToString()


def _detail(text: str) -> str:
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError):
        return text


@pytest.fixture(scope="module")
def whole(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Whole]:
    """Committed, since the sidecar looks from other connections, and made once: a schema takes a second."""
    from tenants.models import Attempts, Membership, Namespace, SigningKey, User
    from tenants.operations import bootstrap, create_namespace

    nats = Nats(tmp_path_factory.mktemp("nats"))
    nats.start()
    with django_db_blocker.unblock(), override_settings(NATS_URL=nats.url, MICRO_PROFILE="local"):
        bootstrap(admin_password="micro")
        for slug, owner in (("shop", "joe"), ("rival", "eve")):
            create_namespace(slug=slug, owner=User.objects.create_user(owner, password=f"{owner}-secret"))
        made, keeper = Platform(index=0, database=dsn()), Gatekeeper()
        sidecar = Sidecar(made.services, lambda token: verifier.get().identify(token), permit=keeper.permit)
        with sidecar.running():
            sidecar._do(made._reader.open())
            sidecar._do(keeper.load())
            bell = asyncio.run_coroutine_threadsafe(made._bell.ring_on_changes(dsn()), sidecar._loop)
            yield Whole(sidecar, made.services)
            bell.cancel()
            sidecar._do(made._reader.close())
            sidecar.stop()
            sidecar._do(sidecar._loop.shutdown_default_executor())  # threads with connections
        for namespace in Namespace.objects.all():
            namespace.delete(force_drop=True)
        for model in (Attempts, User, SigningKey):
            model.objects.all().delete()
        Membership.objects.across_namespaces().delete()
        gc.collect()  # connections of worker threads that have ended
        connections.close_all()
    nats.kill(signal.SIGTERM)
