"""Reads for requests, on the event loop: nodes of one namespace and what is known of them."""

from __future__ import annotations

from collections import OrderedDict
from itertools import groupby
from typing import Any

from micro.proto import registry_pb2
from transport.database import Reader

from .descriptions import Description, describe

EVERY_NAMESPACE = "*"
MAX_DESCRIPTIONS = 512

_NODES = """
    SELECT n.namespace, n.service, n.version, n.protocol, n.node_id, n.host, n.port, n.metadata,
           n.advertised, n.descriptors
    FROM registry_node n LEFT JOIN registry_lease l ON l.node_id = n.id
    WHERE (NOT n.is_leased OR l.expires_at > now())
"""
_ORDER = " ORDER BY n.namespace, n.service, n.version, n.revision"
_CONTENT = "SELECT content FROM registry_descriptorset WHERE sha256 = %(digest)s"


class Listings:
    """The services of a namespace, as the registry shows them; descriptions are worked out once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._descriptions: OrderedDict[str, Description] = OrderedDict()

    async def service(self, name: str, *, namespace: str, with_descriptors: bool = False) -> list[registry_pb2.Service]:
        """Every live version of one service, with nodes and endpoints."""
        groups = await self._versions(namespace, " AND n.service = %(service)s", service=name)
        return [await self._described(rows, with_descriptors) for rows in groups]

    async def services(self, *, namespace: str) -> list[registry_pb2.Service]:
        """Every live version of every service of the namespace (`*`: of all), with nodes but no endpoints."""
        return [_service(rows) for rows in await self._versions(namespace, "")]

    async def descriptor_sets(self, *, namespace: str) -> list[bytes]:
        """The FileDescriptorSets of the namespace's live services, by the services' names; each once."""
        groups = await self._versions(namespace, " AND n.descriptors IS NOT NULL")
        digests = dict.fromkeys(rows[-1].descriptors for rows in groups)
        return [(await self._description(digest)).descriptors for digest in digests]

    async def _versions(self, namespace: str, condition: str, **parameters: str) -> list[list[Any]]:
        if namespace != EVERY_NAMESPACE:
            condition += " AND n.namespace = %(namespace)s"
        rows = await self._reader.rows(_NODES + condition + _ORDER, {"namespace": namespace, **parameters})
        groups = groupby(rows, key=lambda row: (row.namespace, row.service, row.version))
        return [list(group) for _, group in groups]

    async def _described(self, rows: list[Any], with_descriptors: bool) -> registry_pb2.Service:
        service = _service(rows)
        digest = next((row.descriptors for row in reversed(rows) if row.descriptors), None)
        if digest:
            description = await self._description(digest)
            service.endpoints.extend(description.endpoints)
            service.descriptors = description.descriptors if with_descriptors else b""
        else:
            said = next((row.advertised for row in reversed(rows) if row.advertised), b"")
            service.endpoints.extend(registry_pb2.Service.FromString(bytes(said)).endpoints)
        return service

    async def _description(self, digest: str) -> Description:
        known = self._descriptions.get(digest)
        if known is None:
            rows = await self._reader.rows(_CONTENT, {"digest": digest})
            known = describe(bytes(rows[0].content)) if rows else Description()
            self._descriptions[digest] = known
            while len(self._descriptions) > MAX_DESCRIPTIONS:
                self._descriptions.popitem(last=False)
        return known


def _service(rows: list[Any]) -> registry_pb2.Service:
    """One version from its nodes; the newest decides what it speaks."""
    newest = rows[-1]
    advertised = registry_pb2.Service.FromString(bytes(newest.advertised)).metadata
    return registry_pb2.Service(
        name=newest.service,
        version=newest.version,
        metadata={**advertised, "domain": newest.namespace},
        nodes=[_node(row) for row in rows],
        protocol=newest.protocol,
    )


def _node(row: Any) -> registry_pb2.Node:
    host = f"[{row.host}]" if ":" in row.host else row.host
    metadata = {**row.metadata, "protocol": row.protocol, "domain": row.namespace}
    return registry_pb2.Node(id=row.node_id, address=f"{host}:{row.port}", port=row.port, metadata=metadata)
