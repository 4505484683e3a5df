"""Envoy's resources as values: names, versions that are digests of the content, and the packed message."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from google.protobuf import any_pb2
from google.protobuf.message import Message

PREFIX = "type.googleapis.com/"
CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
SCOPE = PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
ROUTES = PREFIX + "envoy.config.route.v3.RouteConfiguration"
SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
TYPES = (CLUSTER, ENDPOINTS, LISTENER, SCOPE, ROUTES, SECRET)


def version_of(content: bytes) -> str:
    """The version that a content has, in every process and on every day."""
    return hashlib.sha256(content).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of Envoy's, ready to send. Equal content has equal versions."""

    type_url: str
    name: str
    version: str
    value: bytes

    @classmethod
    def of(cls, name: str, message: Message) -> Resource:
        """The resource `name` with the content of `message`."""
        value = message.SerializeToString(deterministic=True)
        return cls(PREFIX + message.DESCRIPTOR.full_name, name, version_of(value), value)

    def packed(self) -> any_pb2.Any:
        """The content with its type."""
        return any_pb2.Any(type_url=self.type_url, value=self.value)


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that Envoy should have at a registry revision, by type and name.

    `unused` says, by namespace and service, why what a service tells of itself is left out.
    """

    revision: int
    by_type: Mapping[str, Mapping[str, Resource]] = field(default_factory=dict)
    unused: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, revision: int, resources: Iterable[Resource], *, unused: Mapping[tuple[str, str], str] | None = None
    ) -> Resources:
        """The resources sorted into their types."""
        by_type: dict[str, dict[str, Resource]] = {type_url: {} for type_url in TYPES}
        for resource in resources:
            by_type[resource.type_url][resource.name] = resource
        return cls(revision, by_type, unused or {})

    def with_secret(self, secret: Resource | None) -> Resources:
        """The same with this secret and no other."""
        held = {secret.name: secret} if secret else {}
        return replace(self, by_type={**self.by_type, SECRET: held})

    def __getitem__(self, type_url: str) -> Mapping[str, Resource]:
        return self.by_type.get(type_url, {})

    def __len__(self) -> int:
        return sum(len(resources) for resources in self.by_type.values())
