"""What is never started: strangers' code as the server's own user, and pages at a host that strangers' code shares."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from publicsuffixlist import PublicSuffixList

PROCESS = "process"


def refusal(*, signup_is_open: bool, backend: str, addresses: Mapping[str, tuple[str, int]]) -> str:
    """Why a server with these addresses, by the variables that set them, may not be; blank when it may.

    `backend` is what was settled; one that is not settled yet is judged when it is.
    """
    if not signup_is_open or backend != PROCESS:
        return ""
    for variable, (host, port) in addresses.items():
        if not is_loopback(host):
            return (
                f"{variable} is {host}:{port}, sign-up is open, and services run as this very user: strangers could "
                "run their code as you. Set MICRO_SIGNUP=closed, give a loopback address, or start a Docker engine."
            )
    return ""


def shared_host(host: str, *, base_domain: str) -> str:
    """Why the pages may not be at `host` while tenants' services are below `base_domain`; blank when they may.

    Cookies know neither ports nor, within what can be registered as one domain, hosts: a tenant's page could set those
    of the dashboard, and is same-site to it.
    """
    if "*" in host:
        return "MICRO_ALLOWED_HOSTS names every host: name those that the pages have."
    name = host.strip(".")
    base_domain = base_domain.lower()
    if name != base_domain and _registered(name) != (_registered(base_domain) or base_domain):
        return ""
    return (
        f"The pages at {name} (MICRO_WEB_URL, MICRO_ALLOWED_HOSTS) share a domain with tenants' services, which are at "
        f"MICRO_BASE_DOMAIN {base_domain} and could reach its cookies: give the pages a domain of their own."
    )


def _registered(host: str) -> str:
    """The domain that somebody has registered and the host is part of; blank for an address and a public suffix."""
    return "" if is_address(host) else PublicSuffixList().privatesuffix(host) or ""


def is_address(host: str) -> bool:
    """Whether the host is an IP address, as it stands in a URL."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; of names, only localhost is known to be one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
