"""`micro service`: a program that knows nothing of Micro, under a name that others call."""

from __future__ import annotations

import signal
import threading

import click

from .commands import Command
from .failures import Failure
from .session import Session, pass_session
from .source import RESERVED

DEFAULT = "localhost:9090"
# Micro 3's own, which it started one by one with this command.
CORE = (
    *("api", "auth", "broker", "config", "events", "network", "proxy"),
    *("registry", "router", "runtime", "server", "store", "web"),
)


@click.command(cls=Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--name", default="", help="The name under which it is called.")
@click.option(
    "--endpoint",
    default=DEFAULT,
    help=f"Where it listens: grpc://host:port, http://host:port, or host:port, which is gRPC ({DEFAULT}); or what is "
    "served here: file:FOLDER, or exec:PROGRAM, which is run for each request.",
)
@click.option(
    "--address",
    default="",
    help="Where file: and exec: are served, as host:port, or :port on this machine alone; a free port unless given.",
)
@click.option(
    "--metadata", multiple=True, help="What the registry says of it, as key=value; may be given several times."
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]...")
@click.pass_context
@pass_session
def service(
    session: Session,
    ctx: click.Context,
    /,
    name: str,
    endpoint: str,
    address: str,
    metadata: tuple[str, ...],
    command: tuple[str, ...],
) -> int:
    """Register what listens on this machine, so that others can call it by name.

    micro service --name greeter --endpoint grpc://localhost:9090

    micro service --name shop --endpoint http://localhost:3000 npm start

    micro service --name site --endpoint file:./public

    micro service --name report --endpoint exec:./report.sh

    For a program that knows nothing of Micro, beside a server on the same machine. The methods of a gRPC server are
    asked of its reflection, and are commands of `micro NAME` then; what speaks HTTP is at /NAME/ of the gateway.

    With file: that shows the files of a folder, but for those whose names begin with a dot. With exec: each request
    runs a program, which has the body on stdin and REQUEST_METHOD, PATH_INFO and QUERY_STRING in its environment; what
    it prints is the answer, and another exit status than 0 an error. It runs as you, for whoever may call the service
    (micro auth create rule).

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
    if name in RESERVED:
        raise Failure(f"{name!r} is the platform's own name: choose another with --name.")
    if command and command[0].startswith("-"):
        raise Failure(f"No such option: {command[0]}\nPlease refer to 'micro service --help'")
    from . import beside, endpoints

    about = dict(map(_pair, metadata))
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with endpoints.opened(endpoint, service=name, address=address) as there:
        return beside.keep(beside.Registration(name, there, session.client, about), command, stopped)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise Failure(f"Invalid metadata: {text}. Expected format: key=value")
    return key, value
