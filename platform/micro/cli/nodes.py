"""The nodes of a service, each asked for itself: `micro stats` and `micro debug`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .commands import Command, Group
from .failures import Failure
from .output import moment, output_option, show
from .session import Session, pass_session
from .tables import tabbed

if TYPE_CHECKING:
    from micro.client import Client
    from micro.proto import debug_pb2, registry_pb2

ANSWER_S = 2.0
UNKNOWN = "n/a"
STATS_HEADER = ("node", "address:port", "started", "uptime", "memory", "threads", "gc", "requests", "errors")
HEALTH_HEADER = ("node", "address:port", "status")

_OUTPUT = output_option()
_SERVICES = click.argument("services", nargs=-1, metavar="SERVICE...")
_ALL = click.option(
    "--all",
    "kind",
    is_flag=False,
    flag_value="every",
    type=click.Choice(["every", "builtin", "custom"]),
    help="All services of the namespace: every one, builtin (the platform's own) or custom ones.",
)


@dataclass(frozen=True, slots=True)
class Node:
    """One node of one version of a service, and how to ask it."""

    service: str
    version: str
    id: str
    address: str
    protocol: str


@click.command(cls=Command)
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
@_OUTPUT
@pass_session
def stats(session: Session, services: tuple[str, ...], output: str) -> None:
    """Show how long the nodes of a service have been up, and what they use.

    Services of the framework answer; others show n/a. Memory is the most that a node ever used.
    """
    _show_stats(session, services, output)


@click.group(cls=Group)
def debug() -> None:
    """Ask the nodes of services how they are."""


@debug.command()
@_SERVICES
@_ALL
@_OUTPUT
@pass_session
def health(session: Session, services: tuple[str, ...], kind: str | None, output: str) -> None:
    """Show whether each node of a service answers."""
    client = session.client
    nodes = [node for name in _meant(client, services, kind) for node in _nodes(client, name)]
    found = [(node, _health(client, node)) for node in nodes]
    rows = [{**_named(node), "status": status} for node, status in found]
    _show(rows, [(node.id, node.address, status) for node, status in found], nodes, HEALTH_HEADER, output)


@debug.command("stats")
@_SERVICES
@_ALL
@_OUTPUT
@pass_session
def debug_stats(session: Session, services: tuple[str, ...], kind: str | None, output: str) -> None:
    """Show how long the nodes of a service have been up, and what they use."""
    _show_stats(session, _meant(session.client, services, kind), output)


def _meant(client: Client, services: Sequence[str], kind: str | None) -> Sequence[str]:
    """The services that are named, else those of the kind. Raises Failure for neither, both, and for none."""
    from micro import registry, wire

    if bool(kind) == bool(services):
        raise Failure("Name a service, or say --all.")
    if services:
        return services
    names = registry.services(client=client)
    if kind != "every":
        names = [name for name in names if (name in wire.PLATFORM_SERVICES or name == "debug") == (kind == "builtin")]
    if not names:
        raise Failure(f"There is no such service in the namespace {client.namespace}.")
    return names


def _show_stats(session: Session, services: Sequence[str], output: str) -> None:
    client = session.client
    nodes = [node for name in services for node in _nodes(client, name)]
    found = [(node, _stats(client, node)) for node in nodes]
    rows = [{**_named(node), **_figures(answer)} for node, answer in found]
    lines = [(node.id, node.address, *_cells(answer)) for node, answer in found]
    _show(rows, lines, nodes, STATS_HEADER, output)


def _named(node: Node) -> dict[str, Any]:
    return {"service": node.service, "version": node.version, "node": node.id, "address": node.address}


def _show(
    rows: list[dict[str, Any]], lines: list[tuple[str, ...]], nodes: list[Node], header: tuple[str, ...], output: str
) -> None:
    show(rows, ["\n\n".join(_section(nodes, lines, header))], output)


def _section(nodes: list[Node], lines: list[tuple[str, ...]], header: tuple[str, ...]) -> Iterator[str]:
    """A part for each version of each service, as Micro draws it."""
    for service, version in dict.fromkeys((node.service, node.version) for node in nodes):
        own = [
            line for node, line in zip(nodes, lines, strict=True) if (node.service, node.version) == (service, version)
        ]
        yield "\n".join([f"service  {service}", "", f"version {version}", "", *tabbed([header, *own])])


# Asking.


def _nodes(client: Client, name: str) -> list[Node]:
    """Every node of every version. Raises Failure for a service that is not there, or has none."""
    from micro import errors

    try:
        services = client.services(name)
    except errors.NotFound:
        raise Failure(f'Service "{name}" not found', 4) from None
    return [_node(service, node) for service in services for node in service.nodes]


def _node(service: registry_pb2.Service, node: registry_pb2.Node) -> Node:
    return Node(service.name, service.version, node.id, node.address, service.protocol)


def _health(client: Client, node: Node) -> str:
    """`ok` for whoever answers, even that it does not know the question; else what is wrong."""
    from micro import errors
    from micro.proto import debug_pb2

    if node.protocol == "http":
        return _http_health(node)
    try:
        reply = _ask(client, node, "Debug.Health", debug_pb2.HealthRequest())
    except errors.Unimplemented:
        return "ok"
    except errors.Error as error:
        return " ".join(error.detail.split())
    return debug_pb2.HealthResponse.FromString(reply).status


def _http_health(node: Node) -> str:
    """Any answer over HTTP is one."""
    import http.client

    connection = http.client.HTTPConnection(node.address, timeout=ANSWER_S)
    try:
        connection.request("GET", "/")
        return "ok" if connection.getresponse().status < 500 else "error"
    except (OSError, http.client.HTTPException) as error:
        return f"{node.address} does not answer: {error}"
    finally:
        connection.close()


def _stats(client: Client, node: Node) -> debug_pb2.StatsResponse | None:
    """None for a node that keeps no figures, or does not answer."""
    from micro import errors
    from micro.proto import debug_pb2

    if node.protocol == "http":
        return None
    try:
        return debug_pb2.StatsResponse.FromString(_ask(client, node, "Debug.Stats", debug_pb2.StatsRequest()))
    except errors.Error:
        return None


def _ask(client: Client, node: Node, endpoint: str, request: Any) -> bytes:
    """The answer of this very node where this machine reaches it, else of whichever the proxy chooses."""
    from micro import wire

    path, message = wire.path(node.service, endpoint), request.SerializeToString()
    if wire.is_loopback(client.address):
        from micro.channel import Connection

        connection = Connection(node.address)
        try:
            return connection.unary(path, message, metadata=(), timeout_s=ANSWER_S)
        except wire.Unreachable:
            pass
        finally:
            connection.close()
    return client.raw(node.service, endpoint, message, timeout_s=ANSWER_S)


# Showing.


def _figures(answer: debug_pb2.StatsResponse | None) -> dict[str, Any]:
    """What a node says of itself, with units in the names; null where it says nothing."""
    known = answer or _Silent()
    return {
        "started": moment(known.started),
        "uptime_s": known.uptime,
        "memory_bytes": known.memory,
        "threads": known.threads,
        "gc_ns": known.gc,
        "requests": known.requests,
        "errors": known.errors,
    }


class _Silent:
    """The figures of a node that tells none."""

    started = 0
    uptime = memory = threads = gc = requests = errors = None


def _cells(answer: debug_pb2.StatsResponse | None) -> tuple[str, ...]:
    if answer is None:
        return (UNKNOWN,) * 7
    started = time.strftime("%b %-d %H:%M:%S", time.localtime(answer.started))
    memory = f"{answer.memory / (1024 * 1024):.2f}mb"
    return (
        started,
        _length(answer.uptime),
        memory,
        str(answer.threads),
        f"{answer.gc}ns",
        str(answer.requests),
        str(answer.errors),
    )


def _length(seconds: int) -> str:
    """As Go writes a duration: 1h2m3s."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
