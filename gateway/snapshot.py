"""State → everything that Envoy should have. Pure: the same state makes the same resources, byte for byte."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

from primitives.rules.access import Book, Restriction

from . import clusters, listeners, platform_protos, routes
from .resources import Resource, Resources
from .state import DEFAULT_NAMESPACE, Protocol, Service, State

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # the registry is stricter; nothing else can be routed
REMEMBERED = 20_000  # services whose resources are kept from one snapshot to the next


def build(state: State, *, refused: frozenset[str] = frozenset()) -> Resources:
    """The resources for `state`.

    `refused` holds fingerprints of services whose transcoder Envoy would not take: they get routes without one, and
    JSON goes to them in frames.
    """
    namespaces = state.namespaces | {DEFAULT_NAMESPACE}
    services = [
        _accepted(service, refused)
        for service in state.services
        if service.namespace in namespaces and NAME.fullmatch(service.name)
    ]
    shares = state.limits.shares(service.namespace for service in services)
    return Resources.of(
        state.revision,
        [
            *_doors(state),
            *_platform(state.book(DEFAULT_NAMESPACE)),
            *(each for service in services for each in _service(service, state, shares[service.namespace])),
            *_indexes(namespaces, services),
        ],
    )


def fingerprint(service: Service) -> str:
    """What stays the same while a service offers the same interface under the same name."""
    digest = hashlib.sha256(service.descriptors).hexdigest()[:20]
    return f"{service.namespace}:{service.name}:{digest}"


def _accepted(service: Service, refused: frozenset[str]) -> Service:
    if refused and fingerprint(service) in refused:
        return replace(service, descriptors=b"")
    return service


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


def _service(service: Service, state: State, requests: int) -> Iterator[Resource]:
    rules = state.book(service.namespace).restriction(service.name)
    yield from _steady(replace(service, endpoints=()), state.base_domain, rules)
    yield _cluster(service.namespace, service.name, service.protocol, requests)
    endpoints = clusters.service_endpoints(service)
    yield Resource.of(endpoints.cluster_name, endpoints)


@lru_cache(maxsize=REMEMBERED)
def _steady(service: Service, base_domain: str, rules: Restriction) -> tuple[Resource, ...]:
    """What does not change when replicas come and go."""
    table = routes.service_table(service, base_domain, rules)
    return (
        Resource.of(table.name, table),
        _scope(f"{service.namespace}:{service.name}", table.name),
    )


@lru_cache(maxsize=REMEMBERED)
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


@lru_cache(maxsize=REMEMBERED)
def _index(namespace: str, services: tuple[Service, ...]) -> Resource:
    table = routes.index_table(namespace, services)
    return Resource.of(table.name, table)


@lru_cache(maxsize=2 * REMEMBERED)
def _scope(key: str, table: str) -> Resource:
    return Resource.of(key, routes.scope(key, table))
