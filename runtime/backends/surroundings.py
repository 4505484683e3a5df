"""From the settings and the engine to what surrounds a container: its limits, its way out, the wall around it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import docker
from django.conf import settings

from . import containers, firewall, networks

RESOLVER = Path("/etc/resolv.conf")
ANY = "0.0.0.0"  # noqa: S104 - compared, not bound


def limits() -> containers.Limits:
    """What the operator lets a container use."""
    return containers.Limits(
        memory_bytes=settings.MICRO_REPLICA_MEMORY_MIB * containers.MEBIBYTE,
        cpus=settings.MICRO_REPLICA_CPUS,
        pids=settings.MICRO_REPLICA_PIDS,
    )


def of(network: networks.Network, *, server: str, is_walled: bool) -> containers.Surroundings:
    """What the containers of a network get. Without rules the door is where it really is."""
    port = settings.MICRO_NETWORK_ADDRESS[1]
    gateway = network.gateway if is_walled or settings.MICRO_NETWORK_ADDRESS[0] == ANY else settings.MICRO_DOCKER_DOOR
    return containers.Surroundings(
        server=server,
        network=network.name,
        proxy=f"{gateway or network.gateway}:{port}",
        dns=settings.MICRO_DOCKER_DNS,
        limits=limits(),
        runtime=settings.MICRO_DOCKER_RUNTIME,
    )


def wall(client: docker.DockerClient, server: str) -> firewall.Wall:
    """The rules for the server's networks as they are now."""
    made = networks.every(client, server)
    return firewall.Wall(
        server=server,
        bridges=networks.bridges(server),
        networks=sorted(network.bridge for network in made),
        door_port=settings.MICRO_NETWORK_ADDRESS[1],
        door=door(client),
        name_servers=sorted(name_servers()),
        control_plane=sorted(control_plane()),
    )


def door(client: docker.DockerClient) -> tuple[str, int] | None:
    """Where on this machine the service network listens for containers: loopback is out of their reach."""
    host, port = settings.MICRO_NETWORK_ADDRESS
    if host == ANY or ipaddress.ip_address(host).is_loopback:
        own = networks.engines_own(client)
        return (own, port) if own else None
    return host, port


def name_servers() -> Iterator[str]:
    """Those that containers ask: the operator's choice, else this machine's."""
    if settings.MICRO_DOCKER_DNS:
        yield from settings.MICRO_DOCKER_DNS
        return
    lines = RESOLVER.read_text(errors="replace").splitlines() if RESOLVER.exists() else []
    named = [words[1] for words in map(str.split, lines) if len(words) > 1 and words[0] == "nameserver"]
    yield from (address for address in named if "." in address and not address.startswith("127."))


def control_plane() -> set[str]:
    """The IPv4 addresses of the servers that the platform itself uses, as far as they are elsewhere."""
    urls = [settings.DATABASE_URL, settings.CELERY_BROKER_URL, settings.NATS_URL]
    hosts = {host for url in urls if (host := _host(url))}
    return {address for host in hosts for address in _addresses(host)}


def _host(url: str) -> str:
    try:
        return urlsplit(url or "").hostname or ""
    except ValueError:
        return ""


def _addresses(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(entry[4][0]) for entry in found}
