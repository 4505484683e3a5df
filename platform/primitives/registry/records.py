"""What is registered: snapshots for the gateway, and word of changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from django.db import connection
from django.db.models import Q
from django.utils.timezone import now

from transport import notifications

from . import addresses, models

CHANNEL = "registry"
WARNING = "warning"  # the metadata in which a node or service says how it falls short


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


def announced_ports() -> set[int]:
    """The loopback ports at which something is announced."""
    rows = models.Node.objects.across_namespaces().filter(live(), is_leased=True).values_list("host", "port")
    return {port for host, port in rows if addresses.is_loopback(host)}


def announcers(ports: Collection[int]) -> dict[int, str]:
    """The namespace that first announced each of these loopback ports."""
    rows = models.Node.objects.across_namespaces().filter(live(), is_leased=True, port__in=ports)
    return _first(rows.order_by("-revision"))


def _first(rows: Iterable[models.Node]) -> dict[int, str]:
    """The namespace of the last of `rows` at each loopback port."""
    return {row.port: row.namespace_id for row in rows if addresses.is_loopback(row.host)}


def warnings(*, namespace: str) -> dict[str, str]:
    """What is wrong with what the namespace's services tell of themselves, by their names."""
    rows = models.Node.objects.in_namespace(namespace).filter(live(), metadata__has_key=WARNING).order_by("revision")
    found = {row.service: str(row.metadata[WARNING]) for row in rows if not row.is_leased}
    unused = models.UnusedInterface.objects.in_namespace(namespace).values_list("service", "reason")
    return dict(unused) | found


def current_revision() -> int:
    """The revision of the last committed change; 0 before the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM registry_revision WHERE id = 1")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def snapshot() -> Snapshot:
    """Everything that is registered and alive now, but for announced nodes at addresses that are not theirs to serve.

    An address is looked at each time: what was free when it was announced may have become another's since.
    """
    revision = current_revision()  # first: what is read after it can only be newer
    rows = (
        models.Node.objects.across_namespaces().filter(live()).order_by("namespace", "service", "version", "revision")
    )
    nodes = _servable(list(rows))
    contents = _descriptor_sets({row.descriptors_id for row in nodes if row.descriptors_id})
    groups = groupby(nodes, key=lambda row: (row.namespace_id, row.service, row.version))
    return Snapshot(revision, tuple(_entry(list(group), contents) for _, group in groups))


def _servable(rows: list[models.Node]) -> list[models.Node]:
    announced = [row for row in rows if row.is_leased]
    if not announced:
        return rows
    hosts: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if not row.is_leased:
            hosts.setdefault((row.namespace_id, row.service), set()).add(row.host)
    newest_first = sorted(announced, key=lambda row: -row.revision)
    survey = addresses.survey([(row.host, row.port) for row in announced], announcers=_first(newest_first))
    refused = {
        row.pk
        for row in announced
        if survey.refusal(
            row.host,
            row.port,
            namespace=row.namespace_id,
            service=row.service,
            hosts=hosts.get((row.namespace_id, row.service), ()),
        )
    }
    return [row for row in rows if row.pk not in refused]


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
