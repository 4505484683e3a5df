"""Ports for replicas: on loopback, below the range from which the system takes ports of outgoing connections."""

from __future__ import annotations

import random
import socket
from collections.abc import Container

LOWEST, HIGHEST = 20_000, 32_000


class NoPort(RuntimeError):
    """Every port of the range is taken."""


def choose(taken: Container[int]) -> int:
    """A port that nobody listens on and that is not in `taken`."""
    candidates = range(LOWEST, HIGHEST)
    start = random.randrange(len(candidates))  # noqa: S311 - spreads, protects nothing
    for offset in range(len(candidates)):
        port = candidates[(start + offset) % len(candidates)]
        if port not in taken and is_free(port):
            return port
    raise NoPort(f"No port between {LOWEST} and {HIGHEST} is free.")


def is_free(port: int) -> bool:
    """Whether a replica could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
