"""What `--endpoint` of `micro service` means: where a server listens, or what this process serves itself."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import click

from .failures import Failure

if TYPE_CHECKING:
    from micro.file_server import Server

CONNECT_TIMEOUT_S = 1.0
# Micro 3's proxy of the protocol mucp spoke gRPC.
PROTOCOLS = {"grpc": "grpc", "mucp": "grpc", "http": "http"}
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where something listens, and whether it speaks grpc or http."""

    protocol: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.protocol}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def address(self) -> str:
        """Its numeric address, by which the platform reaches it; blank while it takes no connection."""
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), CONNECT_TIMEOUT_S) as open_:
            host, port = open_.getpeername()[:2]
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return ""


@contextlib.contextmanager
def opened(text: str, *, service: str, address: str) -> Iterator[Endpoint]:
    """The endpoint that is meant. A folder or a program is served in the block, at `address` where that is not blank.

    Raises Failure, with the way out, for what is none.
    """
    here = re.fullmatch(r"(file|exec):(?://)?(.*)", text)
    if not here:
        endpoint = parsed(text)
        if address:
            click.echo(
                "--address has no effect here: callers reach the endpoint itself, with no process between.", err=True
            )
        yield endpoint
        return
    server = _of_folder(here[2], address) if here[1] == "file" else _of_program(here[2], service, address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host, port = server.socket.getsockname()[:2]
    try:
        yield Endpoint("http", host, port)
    finally:
        server.shutdown()
        server.server_close()


def parsed(text: str) -> Endpoint:
    """Where a server listens. Raises Failure, with the way out, for what is none."""
    parts = urlsplit(text if "://" in text else f"grpc://{text}")
    wrong = f"--endpoint {text} is none: say grpc://host:port, http://host:port, file:FOLDER or exec:PROGRAM"
    if parts.scheme not in PROTOCOLS:
        raise Failure(f"{wrong}.")
    if parts.path.strip("/") or parts.query:
        raise Failure(f"{wrong}, a host without a path.")
    port = _port(parts) or (80 if parts.scheme == "http" else 0)
    if not port:
        raise Failure(f"{wrong}; the port is a number up to 65535.")
    return Endpoint(PROTOCOLS[parts.scheme], parts.hostname or "localhost", port)


def _port(parts: SplitResult) -> int | None:
    """None where there is none, or what is none."""
    with contextlib.suppress(ValueError):
        return parts.port
    return None


def _of_folder(path: str, address: str) -> Server:
    from micro import file_server

    folder = Path(path).expanduser().absolute()
    if not (path and folder.is_dir()):
        raise Failure(
            f"There is no folder {folder if path else 'without a name'} to serve: say --endpoint file:FOLDER."
        )
    return _listening(address, lambda host, port: file_server.server(folder, host, port))


def _of_program(name: str, service: str, address: str) -> Server:
    from . import program_server
    from .programs import Program

    found = shutil.which(Path(name).expanduser() if name.startswith("~") else name)
    if found is None:
        where = f"{Path(name).expanduser().absolute()}" if "/" in name else f"{name or 'without a name'} on PATH"
        raise Failure(f"There is no program {where} that can be run: say --endpoint exec:PROGRAM.")
    program = Program(Path(found).absolute())
    return _listening(address, lambda host, port: program_server.ProgramServer(program, service, host, port))


def _listening(address: str, make: Callable[[str, int], Server]) -> Server:
    """A server at `host:port`, without a host at loopback, without an address at a free port there."""
    parts = urlsplit(f"//{address or ':0'}")
    port = _port(parts)
    if port is None or parts.path:
        raise Failure(f"--address {address} is none: say host:port, or :port for this machine alone.")
    try:
        return make(parts.hostname or LOOPBACK, port)
    except OSError as error:
        raise Failure(f"Nothing can listen at --address {address}: {error.strerror}.") from None
