"""Which services a namespace has, where they listen, and what they take and return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .proto import registry_pb2

if TYPE_CHECKING:
    from .client import Client


def services(*, client: Client | None = None) -> list[str]:
    """The names of the namespace's services, sorted, each once."""
    client = _client(client)
    request = registry_pb2.ListRequest(options=registry_pb2.Options(domain=client.namespace))
    reply = client.invoke("registry", "Registry.ListServices", request, registry_pb2.ListResponse)
    return sorted({service.name for service in reply.services})


def service(name: str, *, domain: str = "", client: Client | None = None) -> list[registry_pb2.Service]:
    """Every version of a service, with descriptors where they are known. Raises NotFound."""
    client = _client(client)
    options = registry_pb2.Options(domain=domain or client.namespace, descriptors=True)
    request = registry_pb2.GetRequest(service=name, options=options)
    return list(client.invoke("registry", "Registry.GetService", request, registry_pb2.GetResponse).services)


def register(  # noqa: PLR0913 - what a registration is made of
    name: str,
    *,
    node: str,
    address: str,
    version: str = "latest",
    descriptors: bytes = b"",
    ttl_s: int = 90,
    client: Client | None = None,
) -> None:
    """Tell for `ttl_s` seconds where a node listens (`host:port`); `descriptors` is a FileDescriptorSet."""
    client = _client(client)
    message = _node_of(name, version, node, address, client)
    message.protocol, message.descriptors = "grpc", descriptors
    message.options.ttl = ttl_s
    client.invoke("registry", "Registry.Register", message, registry_pb2.EmptyResponse)


def deregister(name: str, *, node: str, address: str, version: str = "latest", client: Client | None = None) -> None:
    """Take a node out."""
    client = _client(client)
    client.invoke(
        "registry", "Registry.Deregister", _node_of(name, version, node, address, client), registry_pb2.EmptyResponse
    )


def _node_of(name: str, version: str, node: str, address: str, client: Client) -> registry_pb2.Service:
    message = registry_pb2.Service(name=name, version=version)
    message.options.domain = client.namespace
    metadata = {"protocol": "grpc", "server": "grpc", "transport": "grpc"}
    message.nodes.add(id=node, address=address, port=int(address.rpartition(":")[2]), metadata=metadata)
    return message


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
