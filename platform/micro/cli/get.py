"""`micro get service`: what the registry knows of a service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from .commands import Group
from .failures import Failure
from .output import output_option, show
from .session import Session, pass_session
from .tables import tabbed

if TYPE_CHECKING:
    from micro.proto import registry_pb2


@click.group(cls=Group)
def get() -> None:
    """Show one thing in full."""


@get.command()
@click.argument("name")
@output_option()
@pass_session
def service(session: Session, name: str, output: str) -> None:
    """Show a service's versions, its nodes, and what its endpoints take and return."""
    from micro import errors

    try:
        services = session.client.services(name)
    except errors.NotFound:
        raise Failure(f'Service "{name}" not found', 4) from None
    parts = [f"service  {name}", *map(_version, services), *map(_endpoint, services[0].endpoints)]
    show([_as_dict(service) for service in services], ["\n\n".join(parts)], output)


def _version(service: registry_pb2.Service) -> str:
    rows = [(node.id, node.address, _pairs(node.metadata)) for node in service.nodes]
    return "\n".join([f"version {service.version}", "", *tabbed([("ID", "Address", "Metadata"), *rows])])


def _pairs(metadata: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(metadata.items()))


def _endpoint(endpoint: registry_pb2.Endpoint) -> str:
    lines = [f"Endpoint: {endpoint.name}", ""]
    if endpoint.metadata:
        lines += [f"Metadata: {_pairs(endpoint.metadata)}", ""]
    lines += [f"Request: {_shape(endpoint.request.values)}", "", f"Response: {_shape(endpoint.response.values)}"]
    return "\n".join(lines)


def _shape(values: Iterable[registry_pb2.Value], depth: int = 1) -> str:
    """A message as Micro writes it: a line for each field, with the fields of a message in braces."""
    tabs = "\t" * depth
    lines = [
        f"{tabs}{value.name} {_shape(value.values, depth + 1) if value.values else value.type}" for value in values
    ]
    return "\n".join(["{", *lines, "\t" * (depth - 1) + "}"]) if lines else "{}"


def _as_dict(service: registry_pb2.Service) -> dict[str, Any]:
    nodes = [{"id": node.id, "address": node.address, "metadata": dict(node.metadata)} for node in service.nodes]
    endpoints = [
        {
            "name": endpoint.name,
            "metadata": dict(endpoint.metadata),
            "request": _tree(endpoint.request.values),
            "response": _tree(endpoint.response.values),
        }
        for endpoint in service.endpoints
    ]
    return {
        "name": service.name,
        "version": service.version,
        "protocol": service.protocol,
        "metadata": dict(service.metadata),
        "nodes": nodes,
        "endpoints": endpoints,
    }


def _tree(values: Iterable[registry_pb2.Value]) -> list[dict[str, Any]]:
    return [{"name": value.name, "type": value.type, "fields": _tree(value.values)} for value in values]
