"""`micro network`: where services are reached."""

from __future__ import annotations

from typing import Any

import click

from .commands import Group
from .output import output_option, show
from .services import call, indented
from .session import Session, pass_session
from .tables import boxed

ROUTE = ("service", "address", "gateway", "router", "network", "metric", "link")


@click.group(cls=Group)
def network() -> None:
    """Show where services are reached.

    A namespace is a network of its own; its services call each other by name through the gateway.
    """


@network.command()
@click.argument("nodes", nargs=-1)
@pass_session
def connect(session: Session, nodes: tuple[str, ...]) -> None:
    """Connect to other nodes: not on this platform, which says why."""
    _ask(session, "Connect", {"nodes": [{"address": address} for address in nodes]})


@network.command()
@output_option("table")
@pass_session
def connections(session: Session, output: str) -> None:
    """List the nodes that are connected to this one."""
    peers = _ask(session, "Graph").get("root", {}).get("peers", [])
    found = [peer["node"] for peer in peers]
    show(found, boxed(("NODE", "ADDRESS"), [(_of(node, "id"), _of(node, "address")) for node in found]), output)


@network.command()
@pass_session
def graph(session: Session) -> None:
    """Print the nodes and their connections as JSON."""
    click.echo(indented(_ask(session, "Graph").get("root", {})))


@network.command()
@output_option("table")
@pass_session
def nodes(session: Session, output: str) -> None:
    """List the nodes of the network."""
    found = _ask(session, "Nodes").get("nodes", [])
    show(found, boxed(("ID", "ADDRESS"), [(_of(node, "id"), _of(node, "address")) for node in found]), output)


@network.command()
@click.option("--service", default="", help="Only routes to this service.")
@click.option("--address", default="", help="Only routes to this address.")
@click.option("--gateway", default="", help="Only routes through this gateway.")
@click.option("--router", default="", help="Only routes of this router.")
@click.option("--network", "network_", default="", help="Another namespace's, for admins of the platform.")
@output_option("table")
@pass_session
def routes(session: Session, service: str, address: str, gateway: str, router: str, network_: str, output: str) -> None:
    """List the routes of the namespace."""
    query = {
        "service": service,
        "address": address,
        "gateway": gateway,
        "router": router,
        "network": network_ or session.client.namespace,
    }
    found = sorted(
        _ask(session, "Routes", {"query": query}).get("routes", []),
        key=lambda route: (_of(route, "service"), _of(route, "address")),
    )
    rows = [tuple(_of(route, name) for name in ROUTE) for route in found]
    show(found, boxed(tuple(map(str.upper, ROUTE)), rows), output)


@network.command()
@output_option("text")
@pass_session
def services(session: Session, output: str) -> None:
    """List the names of the services on the network."""
    names = _ask(session, "Services").get("services", [])
    show([{"name": name} for name in names], names, output)


network.add_command(call)


def _ask(session: Session, method: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    return session.client.call("network", f"Network.{method}", request or {})


def _of(fields: dict[str, Any], name: str) -> str:
    return str(fields.get(name, ""))
