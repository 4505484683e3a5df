"""The Procfile: one `type: command` a line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from micro.errors import InvalidArgument

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")
PROTOCOLS = {"web": "http", "grpc": "grpc"}
NOT_A_SERVICE = {"release"}


@dataclass(frozen=True, slots=True)
class Process:
    """The process that is started. `others` are the types that are not."""

    type: str
    line: str
    others: tuple[str, ...]

    @property
    def protocol(self) -> str:
        """What the type's name says about the protocol; blank when it says nothing."""
        return PROTOCOLS.get(self.type, "")


def read(text: str) -> Process:
    """The process of a Procfile's text that is the service: `web`, else `grpc`, else the only one.

    Raises InvalidArgument, naming the line or the types, when that is not clear.
    """
    types = _types(text)
    services = [kind for kind in types if kind not in NOT_A_SERVICE]
    chosen = next((kind for kind in PROTOCOLS if kind in types), services[0] if len(services) == 1 else None)
    if chosen is None:
        found = ", ".join(types) or "nothing"
        raise InvalidArgument(f"The Procfile has {found}: which one to start is not clear; name it `web` or `grpc`.")
    return Process(chosen, types[chosen], tuple(kind for kind in types if kind != chosen))


def _types(text: str) -> dict[str, str]:
    types: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise InvalidArgument(f"Line {number} of the Procfile is not of the form `type: command`: {line[:100]!r}.")
        types[match[1]] = match[2]
    return types
