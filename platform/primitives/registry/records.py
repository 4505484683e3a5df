"""What is registered: snapshots for the gateway, and word of changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from django.db import connection
from django.db.models import Q
from django.utils.timezone import now

from transport import notifications

from . import models

CHANNEL = "registry"


@dataclass(frozen=True, slots=True)
class Node:
    """Where one replica listens."""

    id: str
    host: str
    port: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a service. `protocol` is grpc or http; `descriptors` a FileDescriptorSet, b"" when unknown."""

    namespace: str
    service: str
    version: str
    protocol: str
    nodes: tuple[Node, ...]
    descriptors: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every live entry, at least as new as `revision`; ordered by namespace, service and version."""

    revision: int
    entries: tuple[Entry, ...]


def live() -> Q:
    """The nodes that the runner answers for, and the others while their lease runs."""
    return Q(is_leased=False) | Q(lease__expires_at__gt=now())


def announced(*, namespace: str, service: str) -> list[Node]:
    """The nodes that nobody but themselves answers for, of every version, while their lease runs."""
    rows = models.Node.objects.in_namespace(namespace).filter(live(), service=service, is_leased=True)
    return [Node(row.node_id, row.host, row.port, row.metadata) for row in rows.order_by("revision")]


def current_revision() -> int:
    """The revision of the last committed change; 0 before the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM registry_revision WHERE id = 1")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def snapshot() -> Snapshot:
    """Everything that is registered and alive now."""
    revision = current_revision()  # first: what is read after it can only be newer
    rows = (
        models.Node.objects.across_namespaces().filter(live()).order_by("namespace", "service", "version", "revision")
    )
    nodes = list(rows)
    contents = _descriptor_sets({row.descriptors_id for row in nodes if row.descriptors_id})
    groups = groupby(nodes, key=lambda row: (row.namespace_id, row.service, row.version))
    return Snapshot(revision, tuple(_entry(list(group), contents) for _, group in groups))


def _entry(rows: list[models.Node], contents: Mapping[str, bytes]) -> Entry:
    """The newest node decides what the version speaks; during a switch of protocol the older nodes are left out."""
    newest = rows[-1]
    described = [row.descriptors_id for row in rows if row.descriptors_id]
    return Entry(
        namespace=newest.namespace_id,
        service=newest.service,
        version=newest.version,
        protocol=newest.protocol,
        nodes=tuple(
            Node(id=row.node_id, host=row.host, port=row.port, metadata=row.metadata)
            for row in rows
            if row.protocol == newest.protocol
        ),
        descriptors=contents.get(described[-1], b"") if described else b"",
    )


_known: dict[str, bytes] = {}


def _descriptor_sets(digests: set[str]) -> dict[str, bytes]:
    """The contents by digest. They never change, so that only those not read before are read."""
    unknown = digests - _known.keys()
    if unknown:
        rows = models.DescriptorSet.objects.filter(pk__in=unknown).values_list("sha256", "content")
        _known.update((digest, bytes(content)) for digest, content in rows)
    for digest in _known.keys() - digests:
        _known.pop(digest, None)
    return {digest: _known[digest] for digest in digests if digest in _known}


def changes(dsn: str) -> AsyncIterator[None]:
    """Yields at once, after every change (several may be one), and every 10 s: leases lapse without a word."""
    return notifications.changes(dsn, CHANNEL)


def acknowledgements() -> Iterable[models.EnvoyAck]:
    """What every Envoy that ever connected has acknowledged."""
    return models.EnvoyAck.objects.all()
