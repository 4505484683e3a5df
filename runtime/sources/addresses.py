"""Which address a host is fetched from: resolved once, judged, and pinned."""

from __future__ import annotations

import ipaddress
import socket

from micro.errors import InvalidArgument, Unavailable

from . import git

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Prefixes that carry an IPv4 address to somewhere else: NAT64, 6to4, Teredo, and the discard prefix.
_CARRIERS = [
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "100::/64")
]


def pin(host: str, port: int) -> str:
    """The one address that `host` is fetched from, as text.

    Every address of the host must be public, unless the operator listed the host. Raises InvalidArgument when one is
    not, Unavailable when the name cannot be resolved.
    """
    addresses = _resolve(host, port)
    if not git.is_allowed(host, port):
        for address in addresses:
            _require_public(host, address)
    return str(addresses[0])


def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Unavailable(f"The host {host!r} cannot be resolved: {error}.") from None
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public internet, looked at without its IPv6 wrappings."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _CARRIERS):
            return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    return address.is_global and not special


def _require_public(host: str, address: Address) -> None:
    if not is_public(address):
        raise InvalidArgument(
            f"The host {host!r} has the private address {address}; "
            "if it may be fetched from, the operator lists it in MICRO_GIT_ALLOW_HOSTS and restarts the server."
        )
