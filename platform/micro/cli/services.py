"""`micro services` and `micro call`: what can be called, and calling it."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from .commands import Command
from .failures import Failure
from .output import output_option, show
from .session import Session, pass_session

DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s))")
HEADER_NAME = re.compile(r"[A-Za-z0-9_.-]+")
REQUEST_TIMEOUT = "5s"
LONGEST_S = 2**63 / 1e9  # that Go can write, which counts nanoseconds: 292 years
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


@click.command(cls=Command)
@output_option()
@pass_session
def services(session: Session, output: str) -> None:
    """List the services that can be called in the current namespace."""
    from micro import registry

    names = registry.services(client=session.client)
    show([{"name": name} for name in names], names, output)


@click.command(cls=Command)
@click.option("--address", help="Where to call, instead of the environment's proxy, as host:port.")
@click.option(
    "--output", type=click.Choice(["json", "raw"]), default="json", help="json (indented) or raw (as it came)."
)
@click.option("--metadata", multiple=True, help="A header as key=value; may be given several times.")
@click.option("--request_timeout", default=REQUEST_TIMEOUT, help="How long to wait, e.g. 500ms or 5s.")
@click.argument("service")
@click.argument("endpoint", metavar="HANDLER.METHOD")
@click.argument("body", nargs=-1, metavar="[JSON]")
@pass_session
def call(
    session: Session,
    address: str | None,
    output: str,
    metadata: tuple[str, ...],
    request_timeout: str,
    service: str,
    endpoint: str,
    body: tuple[str, ...],
) -> None:
    """Call a service's method with JSON.

    micro call helloworld Helloworld.Call '{"name": "Joe"}'

    Prints the answer, indented. Fields keep the names they have in the proto; 64-bit integers are strings.
    """
    timeout_s = seconds(request_timeout)
    request = _object(" ".join(body) or "{}")
    if address:
        session.address = address
    reply = session.client.call(service, endpoint, request, metadata=dict(map(_header, metadata)), timeout_s=timeout_s)
    click.echo(indented(reply) if output == "json" else json.dumps(reply, ensure_ascii=False))


@click.command(cls=Command)
@click.option(
    "--output", type=click.Choice(["json", "raw"]), default="json", help="json (indented) or raw: one line a message."
)
@click.option("--metadata", multiple=True, help="A header as key=value; may be given several times.")
@click.argument("service")
@click.argument("endpoint", metavar="HANDLER.METHOD")
@click.argument("body", nargs=-1, metavar="[JSON]")
@pass_session
def stream(
    session: Session, output: str, metadata: tuple[str, ...], service: str, endpoint: str, body: tuple[str, ...]
) -> None:
    """Call a method that streams, and print each message as it comes.

    micro stream helloworld Helloworld.Stream '{"count": 3}'

    With - instead of JSON, one object a line is read from stdin, and sent as it is read.
    """
    from micro import errors
    from micro.wire import Unreachable

    from .dynamic.requests import streamed

    text = " ".join(body) or "{}"
    sent = streamed("-") if text == "-" else _object(text)
    try:
        for reply in session.client.stream(service, endpoint, sent, metadata=dict(map(_header, metadata))):
            click.echo(indented(reply) if output == "json" else json.dumps(reply, ensure_ascii=False))
    except (Unreachable, errors.InvalidArgument, errors.NotFound, errors.Unauthenticated, errors.Unimplemented):
        raise
    except errors.Error as error:
        raise Failure(f"error receiving from {service}.{endpoint}: {error.detail}", 128) from None


def indented(reply: dict[str, Any]) -> str:
    return json.dumps(reply, indent="\t", ensure_ascii=False)


def seconds(text: str, *, flag: str = "request_timeout", example: str = "500ms or 5s") -> float:
    """A duration as Go writes it, e.g. 500ms or 1m30s. Raises Failure, naming the flag, for what is none."""
    parts = DURATION.findall(text)
    duration = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != text or duration > LONGEST_S:
        raise Failure(f"Invalid format for {flag} duration. Try {example}", 2)
    return duration


def _object(text: str) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except ValueError as error:
        raise Failure(f"Error creating request {error}") from None
    if not isinstance(request, dict):
        raise Failure(f"Error creating request: {text} is not a JSON object")
    return request


def _header(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not (key and equals):
        raise Failure(f"Invalid metadata: {pair}. Expected format: key=value")
    if not HEADER_NAME.fullmatch(key) or not (value.isascii() and value.isprintable()):
        raise Failure(f"Invalid metadata: {pair}. A header's key is of letters, digits and _-. and its value ASCII.")
    return key, value
