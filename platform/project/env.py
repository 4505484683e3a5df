"""Environment variables, read once and typed. A bad or missing one ends the process with a sentence that names it."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class BadEnvironment(SystemExit):
    """An environment variable is missing or cannot be read; the process ends with status 1 and this sentence."""


def text(name: str, default: str | None = None) -> str:
    """The variable's text; `default` when it is unset or blank. Without a default it is required."""
    value = os.environ.get(name, "").strip() or default
    if value is None:
        raise BadEnvironment(f"{name} is not set, and there is no default for it.")
    return value


def choice(name: str, among: tuple[str, ...]) -> str:
    """One of `among`; the first when it is unset."""
    value = text(name, among[0])
    refuse(value not in among, f"{name} is {value!r}: say {' or '.join(among)}.")
    return value


def refuse(condition: bool, sentence: str) -> None:
    """End the process with `sentence` when `condition` holds."""
    if condition:
        raise BadEnvironment(sentence)


def flag(name: str, *, default: bool) -> bool:
    """true/false, yes/no, on/off, 1/0."""
    value = text(name, str(default)).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise BadEnvironment(f"{name} is {value!r}: say true or false.")


def number(name: str, default: int) -> int:
    """A whole number."""
    value = text(name, str(default))
    try:
        return int(value)
    except ValueError:
        raise BadEnvironment(f"{name} is {value!r}: say a whole number.") from None


def duration(name: str, default: str) -> timedelta:
    """A number with a unit: 500ms, 30s, 15m, 2h, 7d."""
    value = text(name, default)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value)
    if match is None:
        raise BadEnvironment(f"{name} is {value!r}: say a duration such as 500ms, 30s or 15m.")
    return timedelta(seconds=float(match[1]) * UNITS[match[2]])


def words(name: str, default: str = "") -> tuple[str, ...]:
    """A comma-separated list; blanks around items are dropped."""
    return tuple(word.strip() for word in text(name, default).split(",") if word.strip())


def path(name: str, default: str) -> Path:
    """A path with `~` expanded, made absolute."""
    return Path(text(name, default)).expanduser().absolute()


def address(name: str, default: str) -> tuple[str, int]:
    """`host:port`, `:port` (all interfaces) or `port` (loopback), as (host, port)."""
    value = text(name, default)
    host, _, port = value.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise BadEnvironment(f"{name} is {value!r}: say host:port, such as 127.0.0.1:8080.")
    if not host:
        host = "0.0.0.0" if value.startswith(":") else "127.0.0.1"  # noqa: S104 - asked for by ":port"
    return host.strip("[]"), int(port)
