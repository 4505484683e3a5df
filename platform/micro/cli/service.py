"""`micro service`: a program that knows nothing of Micro, under a name that others call."""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from .commands import Command, without_effect
from .failures import Failure
from .session import Session, pass_session

if TYPE_CHECKING:
    from .beside import Endpoint

DEFAULT = "localhost:9090"
# Micro 3's own, which it started one by one with this command.
CORE = (
    *("api", "auth", "broker", "config", "events", "network", "proxy"),
    *("registry", "router", "runtime", "server", "store", "web"),
)
ELSEWHERE = {
    "file": "files are served by a web server: run one, and register it with --endpoint http://…",
    "exec": "a program is run as the command: micro service --name NAME --endpoint ADDRESS COMMAND",
    "mucp": "services speak gRPC here: --endpoint grpc://…, or http://… for plain HTTP",
}


@click.command(cls=Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--name", default="", help="The name under which it is called.")
@click.option(
    "--endpoint",
    default=DEFAULT,
    help=f"Where it listens: grpc://host:port, http://host:port, or host:port, which is gRPC ({DEFAULT}).",
)
@click.option(
    "--metadata", multiple=True, help="What the registry says of it, as key=value; may be given several times."
)
@without_effect("--address", "callers reach the endpoint itself, with no process between")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]...")
@click.pass_context
@pass_session
def service(
    session: Session,
    ctx: click.Context,
    /,
    name: str,
    endpoint: str,
    metadata: tuple[str, ...],
    command: tuple[str, ...],
) -> int:
    """Register what listens on this machine, so that others can call it by name.

    micro service --name greeter --endpoint grpc://localhost:9090

    micro service --name shop --endpoint http://localhost:3000 npm start

    For a program that knows nothing of Micro, beside a server on the same machine. The methods of a gRPC server are
    asked of its reflection, and are commands of `micro NAME` then; what speaks HTTP is at /NAME/ of the gateway.

    It stays registered until Ctrl-C, and is taken out while nothing takes connections at the endpoint. With a COMMAND,
    that is run meanwhile; when it ends, this does, with its exit code.
    """
    if len(command) == 1 and command[0] in CORE and not name:
        raise Failure(f"{command[0]} is a part of the platform: `micro server` runs all of them.")
    if not name and not command and endpoint == DEFAULT:
        click.echo(ctx.get_help())
        return 0
    if not name:
        raise Failure("Say under which name it is called: micro service --name NAME.")
    from . import beside

    meant = beside.Registration(name, _endpoint(endpoint), session.client, dict(map(_pair, metadata)))
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return beside.keep(meant, command, stopped)


def _endpoint(text: str) -> Endpoint:
    """Raises Failure, with the way out, for what is none."""
    from .beside import Endpoint

    if found := re.match(r"(file|exec|mucp):", text):
        raise Failure(f"--endpoint {text} is not served here: {ELSEWHERE[found[1]]}.")
    parts = urlsplit(text if "://" in text else f"grpc://{text}")
    wrong = f"--endpoint {text} is none: say grpc://host:port or http://host:port"
    if parts.scheme not in ("grpc", "http"):
        raise Failure(f"{wrong}.")
    if parts.path.strip("/") or parts.query:
        raise Failure(f"{wrong}, without a path.")
    try:
        port = parts.port or (80 if parts.scheme == "http" else 0)
    except ValueError:
        port = 0
    if not port:
        raise Failure(f"{wrong}; the port is a number up to 65535.")
    return Endpoint(parts.scheme, parts.hostname or "localhost", port)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise Failure(f"Invalid metadata: {text}. Expected format: key=value")
    return key, value
