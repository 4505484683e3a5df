"""A machine that has the platform's code: what `micro server` needs, and what builds need."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .findings import Finding, missing, ok, warning

PORTS = {
    "MICRO_API_ADDRESS": "127.0.0.1:8080",
    "MICRO_PROXY_ADDRESS": "127.0.0.1:8081",
    "MICRO_WEB_ADDRESS": "127.0.0.1:8082",
    "MICRO_NETWORK_ADDRESS": "127.0.0.1:8443",
}
TOOLCHAINS = {
    "go": (("go", "version"), "apt-get install golang"),
    "node": (("node", "--version"), "apt-get install nodejs"),
    "npm": (("npm", "--version"), "apt-get install npm"),
}
LEAST_FREE_BYTES, SCANT_BYTES = 256 * 2**20, 2 * 2**30  # with fewer the server does not start
DOCKER_SOCKET = "/var/run/docker.sock"
ANSWER_S = 3.0


def findings(checkout: Path) -> Iterator[Finding]:
    """What the checkout and this machine have."""
    yield _python(checkout)
    yield _git()
    docker = _docker()
    yield docker
    is_plain = docker.state != "ok"
    yield from _toolchains(is_needed=is_plain)
    if is_plain:
        yield _bubblewrap()
    yield from _leftovers(checkout)
    yield from _ports()
    yield _disk()


def _python(checkout: Path) -> Finding:
    program = checkout / ".venv" / "bin" / "python"
    if not program.exists():
        return missing("python", f"{checkout} has no .venv", f"make -C {checkout} install")
    version = _said(
        (str(program), "-c", "import sys, django; print('%d.%d' % sys.version_info[:2], django.__version__)")
    )
    if not version:
        return missing("python", f"{program} lacks the server's packages", f"make -C {checkout} install")
    python, django = version.split()
    return ok("python", f"{program}, {python}, with Django {django}")


def _git() -> Finding:
    if version := _said(("git", "--version")):
        return ok("git", version)
    return missing("git", "git is missing: sources are fetched with it", "apt-get install git")


def _docker() -> Finding:
    """Whether an engine answers: what services run in then are containers."""
    host = os.environ.get("DOCKER_HOST", f"unix://{DOCKER_SOCKET}")
    if not host.startswith("unix://"):
        return ok("docker", f"DOCKER_HOST names {host}")
    connection = _OverSocket(host.removeprefix("unix://"))
    try:
        connection.request("GET", "/version")
        answer = connection.getresponse()
        if answer.status == 200:
            return ok("docker", f"an engine answers at {host}: services run in containers")
        reason = f"it answers {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error)
    finally:
        connection.close()
    return warning(
        "docker",
        f"no engine at {host} ({reason}): services run as plain processes, for one trusted user",
        "install Docker, or start it",
    )


class _OverSocket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _toolchains(*, is_needed: bool) -> Iterator[Finding]:
    """Compilers and the like. Only where services are plain processes does this machine need its own."""
    for name, (command, remedy) in TOOLCHAINS.items():
        if version := _said(command):
            yield ok(name, version)
        elif is_needed:
            yield warning(name, f"{name} is missing: sources that need it cannot be built here", remedy)
        else:
            yield ok(name, f"{name} is not here, and not needed: images bring it")


def _bubblewrap() -> Finding:
    """Whether plain processes can have walls around them."""
    if not shutil.which("bwrap"):
        detail = "bwrap is missing: services and their builds read and write what this user can"
        return warning("bubblewrap", detail, "apt-get install bubblewrap")
    tried = ("bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "echo", "walls")
    if _said(tried) != "walls":
        detail = "bwrap does not work here: services and their builds read and write what this user can"
        return warning("bubblewrap", detail, "allow unprivileged user namespaces, or use Docker")
    return ok("bubblewrap", "services and their builds do not see this server's state, nor other processes")


def _leftovers(checkout: Path) -> Iterator[Finding]:
    """What still runs of a server that was killed, whose services go on with nobody to look after them."""
    from micro.cli import server

    state = server.state_folder()
    if not server.was_killed(state):
        return
    count = _said((*server.command(checkout / "manage.py"), "--count"), MICRO_HOME=str(state))
    if count not in ("", "0"):
        still = "1 process of it still runs" if count == "1" else f"{count} processes of it still run"
        detail = f"the server on {state} was killed: {still}, and nobody looks after what runs"
        yield missing("supervisor", detail, "micro server takes over, micro shutdown ends them and the services")


def _ports() -> Iterator[Finding]:
    """Whether the server's addresses are free, or all in use: then it is up, as another finding says or denies."""
    addresses = {variable: os.environ.get(variable, usual) for variable, usual in PORTS.items()}
    taken = {address for address in addresses.values() if _listens(address)}
    for variable, address in addresses.items():
        if address not in taken:
            yield ok("port", f"{address} is free ({variable})")
        elif taken == set(addresses.values()):
            yield ok("port", f"{address} is in use, like all of the server's ({variable})")
        else:
            yield missing("port", f"{address} is taken by another program", f"set {variable} to a free address")


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), 1).close()
    except (OSError, ValueError):
        return False
    return True


def _disk() -> Finding:
    from micro.cli import server

    folder = server.state_folder()
    known = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(known).free
    detail = f"{free / 2**30:.1f} GiB free for {folder}"
    if free < LEAST_FREE_BYTES:
        return missing("disk", detail, "make room, or name another disk's folder in MICRO_HOME")
    if free < SCANT_BYTES:
        return warning("disk", f"{detail}: builds and images need more", "make room")
    return ok("disk", detail)


def _said(command: tuple[str, ...], **env: str) -> str:
    """The first line that a program prints; blank when it is not there, or fails."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().partition("\n")[0]
