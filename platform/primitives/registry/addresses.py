"""Which addresses a namespace may have calls sent to: its own replicas', and loopback ports that are nobody else's.

Loopback is shared with the platform and with everybody's replicas, so that a port is looked up, whatever its address:
what the platform listens on, what a replica was given, what a process of either listens on, what others announced.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from django.conf import settings

OUR_ADDRESSES = ("MICRO_API_ADDRESS", "MICRO_PROXY_ADDRESS", "MICRO_NETWORK_ADDRESS", "MICRO_WEB_ADDRESS")
OUR_URLS = ("DATABASE_URL", "CELERY_BROKER_URL", "NATS_URL", "MICRO_DOCKER_HOST")
DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379, "nats": 4222, "amqp": 5672}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a port of this machine: a service by its release's account; blank throughout for the platform."""

    namespace: str = ""
    service: str = ""
    account: str = ""


PLATFORM = Holder()


class Machine(Protocol):
    """What the runtime knows of this machine."""

    def shares_loopback(self) -> bool:
        """Whether replicas are processes that listen on this machine's loopback."""

    def holders(self, ports: Collection[int]) -> Mapping[int, Collection[Holder]]:
        """Who was given, or listens on, each of these loopback ports."""

    def accounts(self, node_ids: Collection[str]) -> Mapping[str, str]:
        """The account of each replica's release, by the replica's node id."""


_machines: list[Machine] = []


def learn(machine: Machine) -> None:
    """Ask `machine` from now on; the runtime says it when it starts."""
    _machines[:] = [machine]


def accounts(node_ids: Collection[str]) -> Mapping[str, str]:
    """The account of each replica's release, by the replica's node id."""
    return _machines[0].accounts(node_ids) if node_ids else {}


@dataclass(frozen=True, slots=True)
class Survey:
    """Some loopback ports of this machine, as they are now.

    `is_open` says whether anybody may announce loopback here at all, `announcers` who announced a port first.
    """

    is_open: bool
    holders: Mapping[int, Collection[Holder]] = field(default_factory=dict)
    announcers: Mapping[int, str] = field(default_factory=dict)

    def refusal(self, host: str, port: int, *, namespace: str, service: str, hosts: Collection[str]) -> str:
        """Why calls of a service are not sent to this address, "" when they may be. `hosts` are its own replicas'."""
        if not is_loopback(host):
            is_own = host in hosts
            return "" if is_own else f"{host[:100]} is neither loopback nor the address of a replica of {service}"
        if not self.is_open:
            return (
                f"{host} is loopback, which is registered in the local profile alone, and where services run as "
                "processes (micro server --backend process)"
            )
        holders = self.holders.get(port, ())
        if PLATFORM in holders:
            return f"port {port} is the platform's own"
        is_others = any((each.namespace, each.service) != (namespace, service) for each in holders)
        if is_others or self.announcers.get(port, namespace) != namespace:
            return f"port {port} belongs to another service"
        return ""

    def is_held_by(self, account: str, *, namespace: str, port: int) -> bool:
        """Whether a replica with this account has the port."""
        return any((each.namespace, each.account) == (namespace, account) for each in self.holders.get(port, ()))


def survey(addresses: Iterable[tuple[str, int]], *, announcers: Mapping[int, str]) -> Survey:
    """Look up the loopback ones of these addresses."""
    ports = {port for host, port in addresses if is_loopback(host)}
    machine = _machines[0]
    if settings.MICRO_PROFILE != "local" or not machine.shares_loopback():
        return Survey(is_open=False)
    own = {port: [PLATFORM] for port in ports & platform_ports()}
    return Survey(is_open=True, holders={**machine.holders(ports), **own} if ports else {}, announcers=announcers)


def platform_ports() -> frozenset[int]:
    """The ports of the platform's own servers, wherever they run."""
    ports = {getattr(settings, name)[1] for name in OUR_ADDRESSES}
    for url in (urlsplit(getattr(settings, name)) for name in OUR_URLS):
        ports.add(url.port or DEFAULT_PORTS.get(url.scheme.partition("+")[0], 0))
    return frozenset(ports)


def is_loopback(host: str) -> bool:
    """Whether this is an address of loopback, in the one spelling that is taken: no name, no IPv4 within IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host and address.is_loopback and getattr(address, "ipv4_mapped", None) is None
