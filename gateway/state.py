"""What the gateway's configuration is made from: plain values, read once, then handed to `snapshot.build`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from primitives.rules.access import Book

from .limits import Limits

Protocol = Literal["grpc", "http"]
Address = tuple[str, int]

DEFAULT_NAMESPACE = "micro"


@dataclass(frozen=True, slots=True)
class Doors:
    """The addresses that Envoy listens on: the API gateway, the identity proxy, the service network."""

    api: Address
    proxy: Address
    network: Address
    containers: Address | None = None  # the service network once more, where containers reach this machine
    is_secure: bool = False  # gateway and proxy speak TLS with everybody who is not on this machine


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a namespace with the endpoints of all its versions. `descriptors` is a FileDescriptorSet or b"".

    `origins`: whose pages may read its answers in JSON and gRPC-web, `*` for all. Plain HTTP ones say it themselves.
    """

    namespace: str
    name: str
    protocol: Protocol
    endpoints: tuple[Address, ...]
    descriptors: bytes = b""
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Browsers:
    """What keeps web pages off, in small letters.

    `origins`: whose pages may call platform services; `hosts`: further ones that are ours; `dashboards`: hosts at which
    there is no service of a tenant. Of hosts, without ports, `.example.org` stands for all below it.
    """

    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    dashboards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """One consistent picture of the platform.

    `domains` maps own hosts to the namespace they belong to; `books` has the namespaces with rules of their own. The
    services of each namespace may tell `interface_bytes` of themselves.
    """

    revision: int
    doors: Doors
    base_domain: str
    jwks: str
    sidecars: tuple[str, ...]
    version: str = ""
    browsers: Browsers = Browsers()
    namespaces: frozenset[str] = frozenset()
    domains: Mapping[str, str] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    books: Mapping[str, Book] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    interface_bytes: int = 32 << 20

    def book(self, namespace: str) -> Book:
        """The rules that hold in a namespace."""
        return self.books.get(namespace) or Book.of(namespace, ())


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a service as the registry has it."""

    service: Service
    version: str


def merged(versions: Iterable[Version]) -> tuple[Service, ...]:
    """One service per name out of its versions: `latest`, or else the last by name, says what it speaks and offers.

    Endpoints of a version that speaks another protocol are left out: one cluster speaks one protocol.
    """
    groups: dict[tuple[str, str], list[Version]] = {}
    for each in versions:
        groups.setdefault((each.service.namespace, each.service.name), []).append(each)
    return tuple(_merge(group) for _, group in sorted(groups.items()))


def _merge(group: list[Version]) -> Service:
    served = [each for each in group if each.service.endpoints] or group
    lead = max(served, key=lambda each: (each.version == "latest", each.version)).service
    alike = [each.service for each in group if each.service.protocol == lead.protocol]
    endpoints = tuple(sorted({endpoint for service in alike for endpoint in service.endpoints}))
    return replace(lead, endpoints=endpoints)
