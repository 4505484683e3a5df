"""State → everything that Envoy should have. Pure: the same state makes the same resources, byte for byte."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

from micro import interfaces
from primitives.rules.access import Book, Restriction

from . import clusters, descriptors, listeners, platform_protos, routes
from .remembered import Remembered
from .resources import Resource, Resources
from .state import DEFAULT_NAMESPACE, Protocol, Service, State

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # the registry is stricter; nothing else can be routed
REFUSED = "Envoy would not take them"
SUSPECT = "the gateway ended more than once while it read them"
UNSERVED = "The gateway cannot serve it: its log says why."
UNUSABLE = "the gateway can make nothing of them"

logger = logging.getLogger(__name__)


def build(
    state: State,
    *,
    refused: frozenset[str] = frozenset(),
    suspects: frozenset[str] = frozenset(),
    begin: Callable[[str], None] = lambda _fingerprint: None,
) -> Resources:
    """The resources for `state`.

    What a service tells of itself is left out where it is at fault or more than its namespace may tell, where `refused`
    holds its fingerprint as Envoy would not take it, and where `suspects` does. Such a service gets routes without a
    transcoder, and JSON goes to it in frames. `begin` is told the fingerprint of each service before anything is made
    of it.
    """
    namespaces = state.namespaces | {DEFAULT_NAMESPACE}
    shut_out = dict.fromkeys(refused, REFUSED) | dict.fromkeys(suspects, SUSPECT)
    known = [one for one in state.services if one.namespace in namespaces and NAME.fullmatch(one.name)]
    shares = state.limits.shares(one.namespace for one in known)
    made: list[_Made] = []
    for _, group in groupby(sorted(known, key=lambda one: (one.namespace, one.name)), key=lambda one: one.namespace):
        left_bytes = state.interface_bytes
        for service in group:
            begin(fingerprint(service))
            one = _make(service, state, shut_out, left_bytes, requests=shares[service.namespace])
            left_bytes -= one.size_bytes
            made.append(one)
    resources = Resources.of(
        state.revision,
        [
            *_doors(state),
            *_platform(state.book(DEFAULT_NAMESPACE)),
            *(resource for one in made for resource in one.resources),
            *_indexes(namespaces, [one.service for one in made if one.resources]),
        ],
        unused={(one.service.namespace, one.service.name): one.reason for one in made if one.reason},
    )
    Remembered.forget_unused()
    return resources


@dataclass(frozen=True, slots=True)
class _Made:
    """One service as it is served: without descriptors, and with a reason why, where they are not used."""

    service: Service
    resources: tuple[Resource, ...]
    size_bytes: int = 0
    reason: str = ""


def _make(service: Service, state: State, shut_out: Mapping[str, str], left_bytes: int, *, requests: int) -> _Made:
    """A service's resources, as many as can be made of it: one that cannot be served is left out."""
    interface = descriptors.read(service.descriptors)
    fault = interface.fault or (shut_out.get(fingerprint(service), "") if service.descriptors else "")
    if interface.expanded_bytes > left_bytes:
        fault = fault or f"the services of its namespace tell more than {state.interface_bytes >> 20} MiB of themselves"
    if not fault and (resources := _service(service, state, requests)):
        return _Made(service, resources, interface.expanded_bytes)
    bare = replace(service, descriptors=b"")
    resources = _service(bare, state, requests)
    if not resources:
        return _Made(bare, (), reason=UNSERVED)
    return _Made(bare, resources, reason=interfaces.warning(fault or UNUSABLE) if service.protocol == "grpc" else "")


def fingerprint(service: Service) -> str:
    """What stays the same while a service offers the same interface under the same name."""
    return f"{service.namespace}:{service.name}:{_digest(service.descriptors)}"


@Remembered
def _digest(descriptors: bytes) -> str:
    return hashlib.sha256(descriptors).hexdigest()[:20]


def _doors(state: State) -> Iterator[Resource]:
    for listener in listeners.listeners(state):
        yield Resource.of(listener.name, listener)
    yield Resource.of(clusters.SIDECAR, clusters.sidecar_cluster(state.sidecars))
    yield _scope(routes.HOSTS, "hosts")
    yield Resource.of("hosts", routes.hosts_table(state.domains))


@lru_cache(maxsize=1)
def _platform(book: Book) -> tuple[Resource, ...]:
    tables = {package: platform_protos.descriptor_set(package) for package in listeners.PLATFORM_PACKAGES}
    tables["grpc"] = b""  # health and reflection without a service in front
    found = []
    for package, descriptor_set in tables.items():
        rules = book.restriction(package) if descriptor_set else None
        table = routes.platform_table(package, descriptor_set, rules)
        found += [Resource.of(table.name, table), _scope(f":{package}", table.name)]
    return tuple(found)


def _service(service: Service, state: State, requests: int) -> tuple[Resource, ...]:
    """All of a service's resources; none when they cannot be made."""
    rules = state.book(service.namespace).restriction(service.name)
    steady = _steady(replace(service, endpoints=()), state.base_domain, rules)
    if not steady:
        return ()
    cluster = _cluster(service.namespace, service.name, service.protocol, requests)
    endpoints = clusters.service_endpoints(service)
    return (*steady, cluster, Resource.of(endpoints.cluster_name, endpoints))


@Remembered
def _steady(service: Service, base_domain: str, rules: Restriction) -> tuple[Resource, ...]:
    """What does not change when replicas come and go. One service's trouble is logged once, and is not the others'."""
    try:
        table = routes.service_table(service, base_domain, rules)
        return (
            Resource.of(table.name, table),
            _scope(f"{service.namespace}:{service.name}", table.name),
        )
    except Exception:
        logger.exception("nothing can be made of %s/%s", service.namespace, service.name)
        return ()


@Remembered
def _cluster(namespace: str, name: str, protocol: Protocol, requests: int) -> Resource:
    cluster = clusters.service_cluster(Service(namespace, name, protocol, ()), requests=requests)
    return Resource.of(cluster.name, cluster)


def _indexes(namespaces: frozenset[str], services: list[Service]) -> Iterator[Resource]:
    ordered = sorted(services, key=lambda service: (service.namespace, service.name))
    grouped = {namespace: tuple(group) for namespace, group in groupby(ordered, key=lambda service: service.namespace)}
    for namespace in sorted(namespaces):
        members = tuple(replace(service, endpoints=()) for service in grouped.get(namespace, ()))
        yield _index(namespace, members)
        yield _scope(namespace, f"index/{namespace}")


@Remembered
def _index(namespace: str, services: tuple[Service, ...]) -> Resource:
    table = routes.index_table(namespace, services)
    return Resource.of(table.name, table)


@Remembered
def _scope(key: str, table: str) -> Resource:
    return Resource.of(key, routes.scope(key, table))
