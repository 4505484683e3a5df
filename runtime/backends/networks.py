"""A bridge of its own for each namespace, on a /26 of the operator's subnets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from . import containers

PREFIX_LENGTH = 26
MOST_TRIES = 20
_OVERLAP = "overlap"


class NoSubnet(RuntimeError):
    """Every /26 of the operator's subnets is taken."""


@dataclass(frozen=True, slots=True)
class Network:
    """One namespace's network as the engine has it."""

    name: str
    bridge: str
    subnet: IPv4Network

    @property
    def gateway(self) -> str:
        """The machine's address on it."""
        return str(self.subnet.network_address + 1)


def name(server: str, namespace: str) -> str:
    """The network's name."""
    return f"micro-{server}-{namespace}"


def bridges(server: str) -> str:
    """What the names of all bridges of a server begin with."""
    return f"mc{server}"


def bridge(server: str, namespace: str) -> str:
    """The name of the network's bridge; an interface's name has 15 characters at most."""
    return bridges(server) + hashlib.sha256(namespace.encode()).hexdigest()[:7]


def free(pools: Sequence[str], taken: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """The subnets that overlap with none of `taken`, in order."""
    used = list(taken)
    for pool in map(IPv4Network, pools):
        for subnet in pool.subnets(new_prefix=max(PREFIX_LENGTH, pool.prefixlen)):
            if not any(subnet.overlaps(other) for other in used):
                yield subnet


def options(server: str, namespace: str, subnet: IPv4Network) -> dict[str, Any]:
    """The arguments with which a namespace's network is made."""
    pool = IPAMPool(subnet=str(subnet), gateway=str(subnet.network_address + 1))
    return {
        "name": name(server, namespace),
        "driver": "bridge",
        "check_duplicate": True,
        "internal": False,
        "enable_ipv6": False,
        "ipam": IPAMConfig(pool_configs=[pool]),
        "options": {"com.docker.network.bridge.name": bridge(server, namespace)},
        "labels": {containers.SERVER: server, containers.NAMESPACE: namespace},
    }


def ensure(client: docker.DockerClient, server: str, namespace: str, *, pools: Sequence[str]) -> Network:
    """The namespace's network, made unless it is there. Raises NoSubnet when there is no room for it."""
    if existing := _find(client, name(server, namespace)):
        return existing
    candidates = free(pools, _taken(client))
    for _, subnet in zip(range(MOST_TRIES), candidates, strict=False):
        try:
            client.networks.create(**options(server, namespace, subnet))
        except APIError as error:
            if _OVERLAP in str(error).lower():
                continue  # a route of the machine is there, or another server was faster
            if error.status_code != 409:
                raise
        if made := _find(client, name(server, namespace)):
            return made
    raise NoSubnet(f"No /{PREFIX_LENGTH} of MICRO_DOCKER_SUBNETS ({', '.join(pools)}) is free for {namespace}.")


def every(client: docker.DockerClient, server: str) -> list[Network]:
    """All networks of a server."""
    return [_read(attributes) for attributes in client.api.networks(filters={"label": f"{containers.SERVER}={server}"})]


def remove(client: docker.DockerClient, server: str, namespace: str) -> None:
    """Make it so that the network is gone, unless something is still on it."""
    try:
        client.api.remove_network(name(server, namespace))
    except NotFound:
        return
    except APIError as error:
        if error.status_code not in {403, 409}:
            raise


def engines_own(client: docker.DockerClient) -> str | None:
    """The machine's address on the engine's default bridge, if there is one."""
    try:
        pools = client.api.inspect_network("bridge")["IPAM"]["Config"] or [{}]
    except NotFound:
        return None
    first = pools[0]
    return first.get("Gateway") or (str(IPv4Network(first["Subnet"])[1]) if "Subnet" in first else None)


def _find(client: docker.DockerClient, wanted: str) -> Network | None:
    found = client.api.networks(names=[wanted])
    return next((_read(attributes) for attributes in found if attributes["Name"] == wanted), None)


def _read(attributes: dict[str, Any]) -> Network:
    subnet = IPv4Network(attributes["IPAM"]["Config"][0]["Subnet"])
    return Network(attributes["Name"], attributes["Options"]["com.docker.network.bridge.name"], subnet)


def _taken(client: docker.DockerClient) -> Iterator[IPv4Network]:
    for attributes in client.api.networks():
        for pool in attributes["IPAM"]["Config"] or []:
            if "." in pool.get("Subnet", ""):
                yield IPv4Network(pool["Subnet"])
