"""Reads for requests, on the event loop: nodes of one namespace and what is known of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from micro.proto import registry_pb2
from transport.database import Reader

from .descriptions import Description, describe
from .records import WARNING
from .remembered import Remembered

EVERY_NAMESPACE = "*"
LARGEST_ANSWER_BYTES = 3 << 20  # of endpoints and descriptors of one service's versions, the newest first

_NODES = """
    SELECT n.namespace, n.service, n.version, n.protocol, n.node_id, n.host, n.port, n.metadata,
           n.advertised, n.descriptors, n.revision, n.is_leased, u.reason AS unused
    FROM registry_node n LEFT JOIN registry_lease l ON l.node_id = n.id
         LEFT JOIN registry_unusedinterface u ON u.namespace = n.namespace AND u.service = n.service
    WHERE (NOT n.is_leased OR l.expires_at > now())
"""
_ORDER = " ORDER BY n.namespace, n.service, n.version, n.revision"
_CONTENT = "SELECT content FROM registry_descriptorset WHERE sha256 = %(digest)s"


class Listings:
    """The services of a namespace, as the registry shows them; descriptions are worked out once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._descriptions: Remembered[Description] = Remembered()

    async def service(self, name: str, *, namespace: str, with_descriptors: bool = False) -> list[registry_pb2.Service]:
        """Every live version of one service, with nodes and endpoints.

        Endpoints are left out of old versions where the answer would become larger than 3 MiB.
        """
        groups = await self._versions(namespace, " AND n.service = %(service)s", service=name)
        services = [_service(rows) for rows in groups]
        left_bytes = LARGEST_ANSWER_BYTES
        for service, rows in sorted(zip(services, groups, strict=True), key=lambda pair: -pair[1][-1].revision):
            endpoints, descriptors = await self._described(rows)
            size_bytes = sum(endpoint.ByteSize() for endpoint in endpoints) + len(descriptors) * with_descriptors
            if size_bytes > left_bytes:
                break
            left_bytes -= size_bytes
            service.endpoints.extend(endpoints)
            service.descriptors = descriptors if with_descriptors else b""
        return services

    async def services(self, *, namespace: str) -> list[registry_pb2.Service]:
        """Every live version of every service of the namespace (`*`: of all), with nodes but no endpoints."""
        return [_service(rows) for rows in await self._versions(namespace, "")]

    async def descriptor_sets(self, *, namespace: str, largest_bytes: int) -> list[bytes]:
        """The FileDescriptorSets of the namespace's live services, by the services' names; each once.

        Those that would make more than `largest_bytes` together are left out.
        """
        groups = await self._versions(namespace, " AND n.descriptors IS NOT NULL")
        found = []
        for digest in dict.fromkeys(rows[-1].descriptors for rows in groups):
            descriptors = (await self._description(digest)).descriptors
            if len(descriptors) <= largest_bytes:
                largest_bytes -= len(descriptors)
                found.append(descriptors)
        return found

    async def _versions(self, namespace: str, condition: str, **parameters: str) -> list[list[Any]]:
        if namespace != EVERY_NAMESPACE:
            condition += " AND n.namespace = %(namespace)s"
        rows = await self._reader.rows(_NODES + condition + _ORDER, {"namespace": namespace, **parameters})
        groups = groupby(rows, key=lambda row: (row.namespace, row.service, row.version))
        return [list(group) for _, group in groups]

    async def _described(self, rows: list[Any]) -> tuple[Sequence[registry_pb2.Endpoint], bytes]:
        """The endpoints of a version, and its descriptors."""
        digest = next((row.descriptors for row in reversed(rows) if row.descriptors), None)
        if digest:
            description = await self._description(digest)
            return description.endpoints, description.descriptors
        said = next((row.advertised for row in reversed(rows) if row.advertised), b"")
        return registry_pb2.Service.FromString(bytes(said)).endpoints, b""

    async def _description(self, digest: str) -> Description:
        known = self._descriptions.get(digest)
        if known is None:
            rows = await self._reader.rows(_CONTENT, {"digest": digest})
            known = await asyncio.to_thread(describe, bytes(rows[0].content)) if rows else Description()
            size_bytes = len(known.descriptors) + 2 * sum(endpoint.ByteSize() for endpoint in known.endpoints)
            self._descriptions.put(digest, known, size_bytes=size_bytes)
        return known


def _service(rows: list[Any]) -> registry_pb2.Service:
    """One version from its nodes; the newest decides what it speaks."""
    newest = rows[-1]
    advertised = registry_pb2.Service.FromString(bytes(newest.advertised)).metadata
    warning = "" if newest.is_leased else newest.metadata.get(WARNING, "")
    warned = {WARNING: text} if (text := warning or newest.unused) else {}
    return registry_pb2.Service(
        name=newest.service,
        version=newest.version,
        metadata={**advertised, **warned, "domain": newest.namespace},
        nodes=[_node(row) for row in rows],
        protocol=newest.protocol,
    )


def _node(row: Any) -> registry_pb2.Node:
    host = f"[{row.host}]" if ":" in row.host else row.host
    metadata = {**row.metadata, "protocol": row.protocol, "domain": row.namespace}
    return registry_pb2.Node(id=row.node_id, address=f"{host}:{row.port}", port=row.port, metadata=metadata)
