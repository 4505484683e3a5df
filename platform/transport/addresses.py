"""Whom a network address stands for: what limits count by."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network, ip_address

SITE_BITS = 64  # what one customer is given at least: whoever has one of its addresses has all 2^64 of them
NAT64 = IPv6Network("64:ff9b::/96")


def network(address: str) -> str:
    """The network behind an address: of IPv6 its /64, of an IPv4 address in IPv6's clothes that address.

    What is no address, such as a blank text, stays as it is.
    """
    try:
        parsed = ip_address(address.strip().strip("[]").partition("%")[0])
    except (AddressValueError, ValueError):
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if plain := _as_ipv4(parsed):
        return str(plain)
    return str(IPv6Network((parsed, SITE_BITS), strict=False))


def _as_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that stands in one of IPv6: mapped, translated (NAT64) or tunnelled (6to4)."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
