"""registry.Registry on the wire."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta

from django.conf import settings

from micro.errors import InvalidArgument, NotFound, PermissionDenied
from micro.proto import registry_pb2
from tenants.access.actors import needs, reach, require_own
from tenants.access.permissions import Permission, Reach
from tenants.access.roles import service_of
from tenants.names import PLATFORM_SERVICES, validate_service
from transport.callers import PLATFORM_NAMESPACE, Caller, authorize, require_account
from transport.methods import ANYONE, Methods, server_stream, unary
from transport.tenancy import in_public

from . import operations
from .descriptions import Description, describe_methods
from .listings import EVERY_NAMESPACE, Listings
from .records import Node, changes

DEFAULT_TTL_S, MAX_TTL_S = 90, 3600
MAX_NODES = 100
MAX_ADVERTISED_BYTES = 256 * 1024
MAX_NODE_METADATA_CHARACTERS = 16 * 1024

_VERSION = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9._/+#=@-]{0,199}")
_Key = tuple[str, str, str]  # namespace, service, version


class Bell:
    """Wakes everybody who watches after each change of the registry; one listener for the whole process."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self.rung = 0

    async def ring_on_changes(self, dsn: str) -> None:
        """Listen until cancelled."""
        async for _ in changes(dsn):
            async with self._changed:
                self.rung += 1
                self._changed.notify_all()

    async def after(self, rung: int) -> int:
        """Return when the bell was rung more often than `rung` times: how often."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.rung > rung)
            return self.rung


class Registry:
    """The methods of registry.Registry. `platform` holds the tables of the services that this process mounts itself."""

    def __init__(self, listings: Listings, bell: Bell, *, platform: Mapping[str, Methods]) -> None:
        self._listings = listings
        self._bell = bell
        self._platform = platform
        self._own: dict[str, Description] = {}

    def methods(self) -> Methods:
        """The table to mount."""
        return {
            "Registry.GetService": unary(
                self.get_service, request=registry_pb2.GetRequest, response=registry_pb2.GetResponse, scope=ANYONE
            ),
            "Registry.ListServices": unary(
                self.list_services, request=registry_pb2.ListRequest, response=registry_pb2.ListResponse, scope=ANYONE
            ),
            "Registry.Watch": server_stream(
                self.watch, request=registry_pb2.WatchRequest, response=registry_pb2.Result, scope=ANYONE
            ),
            "Registry.Register": unary(
                register,
                request=registry_pb2.Service,
                response=registry_pb2.EmptyResponse,
                scope=needs(Permission.REGISTRY_WRITE),
            ),
            "Registry.Deregister": unary(
                deregister,
                request=registry_pb2.Service,
                response=registry_pb2.EmptyResponse,
                scope=needs(Permission.REGISTRY_WRITE),
            ),
        }

    async def get_service(self, request: registry_pb2.GetRequest, caller: Caller) -> registry_pb2.GetResponse:
        """Every version of a service. The platform's own services are found in its namespace."""
        domain = _readable_domain(caller, request.options)
        if domain == PLATFORM_NAMESPACE and request.service in self._platform:
            services = [self._own_service(request.service, request.options.descriptors)]
        else:
            services = await self._listings.service(
                request.service, namespace=domain, with_descriptors=request.options.descriptors
            )
        if not services:
            raise NotFound("service not found")
        return registry_pb2.GetResponse(services=services)

    async def list_services(self, request: registry_pb2.ListRequest, caller: Caller) -> registry_pb2.ListResponse:
        """Every version of every service, without endpoints."""
        domain = _readable_domain(caller, request.options)
        return registry_pb2.ListResponse(services=await self.registered(namespace=domain))

    async def watch(self, request: registry_pb2.WatchRequest, caller: Caller) -> AsyncIterator[registry_pb2.Result]:
        """What changes from now on, in one service or, without a name, in all of the namespace."""
        domain = _readable_domain(caller, request.options)
        rung = self._bell.rung
        known = await self._watched(request.service, domain)
        if request.from_start:
            for service in known.values():
                yield registry_pb2.Result(action="create", service=service, timestamp=int(time.time()))
            yield registry_pb2.Result(action="ready", timestamp=int(time.time()))
        while True:
            rung = await self._bell.after(rung)
            current = await self._watched(request.service, domain)
            for action, service in _differences(known, current):
                yield registry_pb2.Result(action=action, service=service, timestamp=int(time.time()))
            known = current

    async def registered(self, *, namespace: str) -> list[registry_pb2.Service]:
        """Every version of every service of a namespace (`*`: of all) with its nodes; nobody is asked who wants it."""
        services = await self._listings.services(namespace=namespace)
        if namespace in (PLATFORM_NAMESPACE, EVERY_NAMESPACE):
            own = [_bare_own_service(name) for name in self._platform]
            services = sorted([*services, *own], key=lambda service: (service.name, service.version))
        return services

    async def _watched(self, name: str, domain: str) -> dict[_Key, registry_pb2.Service]:
        if name:
            services = await self._listings.service(name, namespace=domain)
        else:
            services = await self._listings.services(namespace=domain)
        return {(service.metadata["domain"], service.name, service.version): service for service in services}

    def _own_service(self, name: str, with_descriptors: bool) -> registry_pb2.Service:
        if name not in self._own:
            self._own[name] = describe_methods(self._platform[name])
        service = _bare_own_service(name)
        service.endpoints.extend(self._own[name].endpoints)
        service.descriptors = self._own[name].descriptors if with_descriptors else b""
        return service


async def register(request: registry_pb2.Service, caller: Caller) -> registry_pb2.EmptyResponse:
    """Announce nodes that the platform did not start; they are dropped unless announced again within the TTL."""
    domain = authorize(caller, request.options.domain)
    _require_own(caller, request.name)
    _require_announceable(request, domain)
    await in_public(
        operations.announce,
        namespace=domain,
        by=require_account(caller),
        service=request.name,
        version=request.version or "latest",
        protocol=request.protocol or "grpc",
        nodes=[_node(node) for node in request.nodes],
        is_confined=bool(_confined_to(caller)),
        descriptors=request.descriptors,
        advertised=_advertised(request),
        ttl=timedelta(seconds=min(max(request.options.ttl, 0) or DEFAULT_TTL_S, MAX_TTL_S)),
    )
    return registry_pb2.EmptyResponse()


async def deregister(request: registry_pb2.Service, caller: Caller) -> registry_pb2.EmptyResponse:
    """Take back announced nodes; the platform's own replicas stay."""
    domain = authorize(caller, request.options.domain)
    _require_own(caller, request.name)
    ids = [node.id for node in request.nodes]
    await in_public(
        operations.deregister, namespace=domain, node_ids=ids, leased_only=True, only_of=_confined_to(caller)
    )
    return registry_pb2.EmptyResponse()


def _require_own(caller: Caller, name: str) -> None:
    """Raises PermissionDenied for a service that announces another one."""
    account = require_account(caller)
    require_own(account, Permission.REGISTRY_WRITE, is_own=name != "" and name == service_of(account))


def _confined_to(caller: Caller) -> str:
    """The service whose nodes alone the caller may touch, since ids say nothing of whose they are; blank for all."""
    account = require_account(caller)
    return "" if reach(account, Permission.REGISTRY_WRITE) is Reach.ALL else service_of(account)


def _readable_domain(caller: Caller, options: registry_pb2.Options) -> str:
    """The namespace to read: that of the platform is public, all of them only for those who cross namespaces."""
    domain = options.domain or (caller.account.issuer if caller.account else PLATFORM_NAMESPACE)
    return authorize(caller, domain, public=domain == PLATFORM_NAMESPACE)


def _require_announceable(request: registry_pb2.Service, domain: str) -> None:
    if request.name in PLATFORM_SERVICES:
        raise PermissionDenied(f"the service {request.name} is the platform's own")
    validate_service(request.name, namespace=domain)
    if request.version and not _VERSION.fullmatch(request.version):
        raise InvalidArgument(f"The version {request.version[:100]!r} is not a word of letters, digits and ._/+#=@-.")
    if request.protocol not in ("", "grpc", "http"):
        raise InvalidArgument(f"The protocol {request.protocol!r} must be grpc or http.")
    if len(request.nodes) > MAX_NODES:
        raise InvalidArgument(f"A service announces at most {MAX_NODES} nodes at once.")


def _advertised(request: registry_pb2.Service) -> bytes:
    said = registry_pb2.Service(endpoints=request.endpoints, metadata=request.metadata)
    advertised = said.SerializeToString(deterministic=True)
    if len(advertised) > MAX_ADVERTISED_BYTES:
        raise InvalidArgument(f"Endpoints and metadata have at most {MAX_ADVERTISED_BYTES} bytes.")
    return advertised


def _node(node: registry_pb2.Node) -> Node:
    host, separator, port = node.address.rpartition(":")
    if not separator or node.address.endswith("]"):
        host, port = node.address, str(node.port)
    host = host.strip("[]")
    if not node.id or len(node.id) > 255 or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidArgument(f"The node {node.id!r} needs an id and an address such as 127.0.0.1:4000.")
    if sum(map(len, [*node.metadata, *node.metadata.values()])) > MAX_NODE_METADATA_CHARACTERS:
        raise InvalidArgument(f"A node's metadata has at most {MAX_NODE_METADATA_CHARACTERS} characters.")
    return Node(id=node.id, host=host, port=int(port), metadata=dict(node.metadata))


def _bare_own_service(name: str) -> registry_pb2.Service:
    """One of the platform's own services: reached where every service reaches the others."""
    host, port = settings.MICRO_NETWORK_ADDRESS
    node = registry_pb2.Node(id=f"{name}-platform", address=f"{host}:{port}", port=port, metadata={"protocol": "grpc"})
    metadata = {"domain": PLATFORM_NAMESPACE}
    return registry_pb2.Service(name=name, version="latest", metadata=metadata, nodes=[node], protocol="grpc")


def _differences(
    known: Mapping[_Key, registry_pb2.Service], current: Mapping[_Key, registry_pb2.Service]
) -> Iterator[tuple[str, registry_pb2.Service]]:
    yield from (("create", current[key]) for key in sorted(current.keys() - known.keys()))
    shared = sorted(current.keys() & known.keys())
    yield from (("update", current[key]) for key in shared if current[key] != known[key])
    yield from (("delete", known[key]) for key in sorted(known.keys() - current.keys()))
