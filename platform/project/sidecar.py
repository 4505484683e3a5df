"""The gRPC server of the platform's own services: their tables of methods, mounted together on one Unix socket."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any

import grpc.aio
from django.conf import settings
from django.utils.timezone import now
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from gateway import rpc as gateway
from primitives.auth import devices, joining
from primitives.auth import rpc as auth
from primitives.auth.tokens import verifier
from primitives.blobs import rpc as blobs
from primitives.broker import rpc as broker
from primitives.config import rpc as config
from primitives.events import rpc as events
from primitives.network.rpc import Network
from primitives.registry import operations
from primitives.registry.listings import Listings
from primitives.registry.reflection import Reflection
from primitives.registry.rpc import Bell, Registry
from primitives.rules import rpc as rules
from primitives.rules.gatekeeper import Gatekeeper
from primitives.store import rpc as store
from runtime import deployments_rpc as deployments
from runtime import rpc as runtime
from tenants import quotas
from tenants import rpc as tenants
from tenants.access.actors import needs
from tenants.access.declared import require_declared
from tenants.access.permissions import Permission
from transport import database, debug
from transport.database import Reader, dsn
from transport.failures import AWAY
from transport.journal import Journal
from transport.methods import Methods
from transport.server import OPTIONS, Server
from transport.statistics import Statistics
from transport.tenancy import in_public

PRUNE_INTERVAL_S = 10.0
# What proves or makes a secret, by service, handler and method.
HASHING = frozenset(
    {
        *("auth.Auth.Token", "auth.Auth.Generate", "auth.Accounts.ChangeSecret"),
        *("signup.Signup.CompleteSignup", "signup.Signup.Recover"),
    }
)
GRACE_S = 3.0  # for calls under way when the process is asked to stop

log = logging.getLogger(__name__)


class Sidecar:
    """Everything one process serves. Number 0 also drops nodes whose lease has lapsed."""

    def __init__(self, *, index: int, database: str) -> None:
        self._index = index
        self._database = database
        self._reader = Reader(database)
        self._bell = Bell()
        self._gatekeeper = Gatekeeper()
        self.services = self._tables()

    async def serve(self, socket: Path, *, stop: asyncio.Event) -> None:
        """Answer on `socket` until `stop`; then let calls under way end, for 3 s at most."""
        server = self._server()
        server.add_insecure_port(f"unix:{socket}")
        await self._reader.open()
        await self._gatekeeper.load()
        await quotas.known.load()
        await server.start()
        log.info("sidecar %d answers on %s", self._index, socket)
        try:
            await _until(stop, self._chores())
        finally:
            await server.stop(GRACE_S)
            await self._reader.close()
            await database.close()

    def _tables(self) -> dict[str, Methods]:
        self._statistics = Statistics()
        tables: dict[str, Methods] = {
            "api": gateway.METHODS,
            "auth": {**auth.METHODS, **devices.METHODS, **rules.METHODS, **tenants.METHODS},
            "broker": broker.METHODS,
            "config": config.METHODS,
            "debug": debug.methods(self._statistics, _journal(), operators=needs(Permission.PLATFORM_OPERATE)),
            "events": events.METHODS,
            "runtime": {**runtime.METHODS, **deployments.METHODS},
            "signup": joining.METHODS,
            "store": {**store.METHODS, **blobs.METHODS},
        }
        listings = Listings(self._reader)
        registry = Registry(listings, self._bell, platform=tables)
        tables["registry"] = registry.methods()
        host, port = settings.MICRO_NETWORK_ADDRESS
        network = Network(registry.registered, address=f"{host}:{port}")
        tables |= {"network": network.network_methods(), "router": network.router_methods()}
        names = {name for methods in tables.values() for name in _proto_services(methods)}
        self._reflection = Reflection(
            listings, platform=[*names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        ).tables()
        require_declared(tables)
        return tables

    def _server(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=OPTIONS)
        _add_health(server)
        Server(
            {**self.services, **self._reflection},
            identify=verifier.get().identify,
            permit=self._gatekeeper.permit,
            statistics=self._statistics,
            hashing=HASHING,
            most_streams=lambda namespace: int(quotas.known.limit(namespace, "streams")),
        ).mount(server)
        return server

    def _chores(self) -> list[Coroutine[Any, Any, None]]:
        chores = [
            self._bell.ring_on_changes(self._database),
            self._gatekeeper.follow(self._database),
            quotas.known.follow(self._database),
        ]
        return [*chores, _prune_forever()] if self._index == 0 else chores


@cache
def _journal() -> Journal:
    """What this process logs, from the first sidecar on."""
    journal = Journal()
    logging.getLogger().addHandler(journal)
    return journal


async def _until(stop: asyncio.Event, chores: list[Coroutine[Any, Any, None]]) -> None:
    """Do the chores until `stop`; one that fails ends the process with its reason."""
    tasks = [asyncio.create_task(chore) for chore in [*chores, _wait(stop)]]
    ended, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in running:
        task.cancel()
    for task in ended:
        task.result()


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


async def _prune_forever() -> None:
    while True:
        try:
            await in_public(operations.prune, at=now())
        except AWAY as error:
            log.warning("lapsed nodes stay for now: %s", str(error).strip())
        await asyncio.sleep(PRUNE_INTERVAL_S)


def _add_health(server: grpc.aio.Server) -> None:
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)


def _proto_services(methods: Methods) -> set[str]:
    """The full names of the proto services that the endpoints of a table belong to."""
    names: set[str] = set()
    for endpoint, method in methods.items():
        handler = endpoint.partition(".")[0]
        names |= {s.full_name for s in method.request.DESCRIPTOR.file.services_by_name.values() if s.name == handler}
    return names


async def run(*, index: int, socket: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Sidecar(index=index, database=dsn()).serve(socket, stop=stop)
