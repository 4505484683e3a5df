"""The command line: its version, its files, the environment it talks to, and who is logged in there."""

from __future__ import annotations

import platform
import socket
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import micro
from micro import errors, home
from micro.cli.session import Session

from .findings import Finding, missing, ok, warning

LIBRARIES = ("click", "grpcio", "protobuf")
CONNECT_S = 3.0


def findings(session: Session) -> Iterator[Finding]:
    """Each finding as soon as it is made; what cannot be found out because of another one is left out."""
    yield _version()
    yield from _files(session)
    try:
        target = session.target
    except errors.Error as error:
        yield missing("environment", error.detail, "micro env")
        return
    yield ok("environment", f"{target.environment}, at {target.address}, in the namespace {target.namespace}")
    reached = _reached(session)
    yield reached
    if reached.state == "ok":
        yield _login(session)


def _version() -> Finding:
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    return ok("micro", f"v{micro.__version__}, Python {platform.python_version()} at {sys.executable}, {libraries}")


def _files(session: Session) -> Iterator[Finding]:
    """The config and token files: that they can be read, and by nobody else."""
    folder = home.folder()
    if not folder.exists():
        yield ok("files", f"{folder} is not there yet: it is made by `micro login`")
        return
    for path in (folder, session.config.path, folder / "tokens"):
        if path.exists():
            yield _mode(path)
    try:
        session.config.get("env")
    except (errors.Error, OSError) as error:
        yield missing("config", str(error), f"mend or remove {session.config.path}")


def _mode(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        wanted = "700" if path.is_dir() else "600"
        return warning("files", f"{path} can be read by others (mode {mode:o})", f"chmod {wanted} {path}")
    return ok("files", f"{path} (mode {mode:o})")


def _reached(session: Session) -> Finding:
    """Whether a server of ours answers there, over TLS where the environment says so."""
    from micro import wire

    address, is_secure = wire.dialled(session.target.address)
    if refusal := _refused(address):
        return refusal
    try:
        _ask(session)
    except errors.Error as error:
        return missing(
            "server", " ".join(error.detail.split()), f"see what listens at {address}, or micro env set NAME"
        )
    return ok("server", f"a micro server answers at {address}{' over TLS' if is_secure else ''}")


def _refused(address: str) -> Finding | None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return missing("server", f"nobody answers at {address}: {reason}", "micro server, or micro env set NAME")
    return None


def _ask(session: Session) -> None:
    """A call that needs nobody to be logged in."""
    from micro.proto import registry_pb2

    request = registry_pb2.ListRequest(options=registry_pb2.Options(domain=home.DEFAULT_NAMESPACE))
    session.client.invoke(
        "registry", "Registry.ListServices", request, registry_pb2.ListResponse, anonymous=True, timeout_s=CONNECT_S
    )


def _login(session: Session) -> Finding:
    from micro import auth, tokens

    saved = tokens.read(session.target)
    try:
        token = session.client.access_token()
        if not token:
            if saved is None:
                return warning("login", "nobody is logged in: calls are anonymous", "micro login")
            return missing("login", "the login has expired", "micro login")
        account = auth.inspect(token, client=session.client)
    except errors.Error as error:
        return missing("login", " ".join(error.detail.split()), "micro login")
    return ok("login", f"{account.name or account.id}, of the namespace {account.issuer}")
