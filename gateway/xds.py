"""Envoy's control plane: the current resources, handed to every Envoy that asks on the delta ADS stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from . import snapshot
from .ads import Session
from .envoy import bootstrap
from .journal import Journal
from .resources import ROUTES, Resource, Resources
from .state import State

logger = logging.getLogger(__name__)

RETRY_S = 10.0  # a port that was in use may be free by then
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
Request: TypeAlias = discovery_pb2.DeltaDiscoveryRequest
Response: TypeAlias = discovery_pb2.DeltaDiscoveryResponse


@dataclass(frozen=True, slots=True)
class Ack:
    """One Envoy's word: it has applied `revision` (None: nothing yet), and its stream is open or not."""

    envoy_id: str
    pid: int
    revision: int | None
    connected: bool


class ControlPlane:
    """Holds what Envoys should have and the streams of those that are connected."""

    def __init__(
        self, *, heard: Callable[[Ack], None], good: Callable[[Resources], None], journal: Journal | None = None
    ) -> None:
        """`heard` gets every change in what an Envoy has applied; `good` gets resources that one has applied whole."""
        self._heard = heard
        self._good = good
        self._journal = journal
        self._state: State | None = None
        self._resources: Resources | None = None
        self._refused: frozenset[str] = frozenset()
        self._inboxes: set[asyncio.Queue[Request | None]] = set()
        self._building = asyncio.Lock()
        self._kept: Resources | None = None
        self._secret: Resource | None = None
        self.published = asyncio.Event()

    async def publish(self, state: State) -> None:
        """Make `state` what every Envoy should have."""
        self._state = state
        async with self._building:  # the newest state and all refusals, whichever call comes last
            self.offer(await asyncio.to_thread(self._build, self._state))

    def _build(self, state: State) -> Resources:
        if self._journal is None:
            return snapshot.build(state, refused=self._refused)
        try:
            return snapshot.build(
                state, refused=self._refused, suspects=self._journal.suspects, begin=self._journal.begin
            )
        finally:
            self._journal.finish()

    def offer(self, resources: Resources) -> None:
        """Make `resources` what every Envoy should have, as they are."""
        self._resources = resources.with_secret(self._secret)
        self.published.set()
        for inbox in self._inboxes:
            inbox.put_nowait(None)

    def certify(self, secret: Resource) -> None:
        """Let the doors that speak TLS do so with this certificate."""
        self._secret = secret
        if self._resources is not None:
            self.offer(self._resources)

    async def stream(self, requests: AsyncIterator[Request], _context: Any) -> AsyncIterator[Response]:
        """One Envoy's stream, for as long as it lasts."""
        await self.published.wait()
        inbox: asyncio.Queue[Request | None] = asyncio.Queue()
        self._inboxes.add(inbox)
        reader = asyncio.create_task(_pump(requests, inbox))
        session = Session(self._current())
        told: Ack | None = None
        try:
            while not reader.done() or not inbox.empty():
                request = await _next(inbox, session)
                session.resources = self._current()
                if request is not None:
                    session.receive(request)
                await self._note_refusals(session.take_refusals())
                for response in session.responses():
                    yield response
                told = self._tell(session, told)
        finally:
            reader.cancel()
            self._inboxes.discard(inbox)
            if told:
                self._heard(Ack(told.envoy_id, told.pid, told.revision, connected=False))

    @property
    def unused(self) -> Mapping[tuple[str, str], str]:
        """Why what services tell of themselves is left out, by namespace and service."""
        return self._resources.unused if self._resources else {}

    def _current(self) -> Resources:
        assert self._resources is not None  # noqa: S101 - a stream begins when something was published
        return self._resources

    def _tell(self, session: Session, told: Ack | None) -> Ack | None:
        if not session.envoy_id:
            return told
        applied = session.applied_revision()
        revision = applied if applied is not None else told.revision if told else None
        ack = Ack(session.envoy_id, session.pid, revision, connected=True)
        if ack != told:
            self._heard(ack)
        if applied is not None and session.resources is not self._kept:
            self._kept = session.resources
            self._good(session.resources)
        return ack

    async def _note_refusals(self, refused: list[Resource]) -> None:
        """Services whose routes were refused get routes without a transcoder: only what they brought is at fault."""
        names = {each.name for each in refused if each.type_url == ROUTES}
        if self._state is None or not names:
            return
        self._refused &= {snapshot.fingerprint(service) for service in self._state.services}
        fresh = {
            snapshot.fingerprint(service)
            for service in self._state.services
            if f"service/{service.namespace}/{service.name}" in names and service.descriptors
        } - self._refused
        if fresh:
            self._refused |= fresh
            await self.publish(self._state)


async def _next(inbox: asyncio.Queue[Request | None], session: Session) -> Request | None:
    """What comes in next. When nothing does for a while, refused listeners are tried again."""
    try:
        async with asyncio.timeout(RETRY_S):
            return await inbox.get()
    except TimeoutError:
        session.retry_listeners()
        return None


async def _pump(requests: AsyncIterator[Request], inbox: asyncio.Queue[Request | None]) -> None:
    try:
        async for request in requests:
            inbox.put_nowait(request)
    finally:
        inbox.put_nowait(None)


@contextlib.asynccontextmanager
async def serving(control_plane: ControlPlane, socket: Path) -> AsyncIterator[None]:
    """Serve `control_plane` on a Unix socket while the block runs."""
    # gRPC takes a ping on an idle stream every five minutes, and ends the connection of who pings more often.
    often_ms = bootstrap.KEEPALIVE_S * 1000 // 2
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.http2.min_ping_interval_without_data_ms", often_ms),
        ]
    )
    handler = grpc.stream_stream_rpc_method_handler(
        control_plane.stream,
        request_deserializer=Request.FromString,
        response_serializer=Response.SerializeToString,
    )
    service, method = METHOD[1:].split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    await asyncio.to_thread(socket.unlink, missing_ok=True)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await asyncio.to_thread(socket.chmod, 0o600)
    try:
        yield
    finally:
        await server.stop(0.2)
