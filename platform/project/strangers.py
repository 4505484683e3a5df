"""The one thing that is never started: strangers' code as the server's own user."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

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


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; of names, only localhost is known to be one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
