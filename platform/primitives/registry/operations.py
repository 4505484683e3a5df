"""Changes of the registry. Each takes the next revision and wakes the readers when it commits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import psutil
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Func, IntegerField, TextField
from django.db.models.functions import Cast
from django.utils.timezone import now

from micro import interfaces
from micro.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from tenants import quotas
from tenants.models import Namespace
from tenants.scoping import NamespacedQuerySet
from transport.callers import Account

from . import addresses, models
from .records import CHANNEL, WARNING, Node, acknowledgements, announcers, current_revision, live

GONE_AFTER = timedelta(seconds=60)  # an Envoy that was not heard of for so long, and has no process, is gone
ORPHAN_AGE = timedelta(hours=1)
LARGEST_ORPHANS_BYTES = 64 << 20


@transaction.atomic
def register(  # noqa: PLR0913 - a registration is these facts
    *,
    namespace: str,
    service: str,
    version: str,
    protocol: str,
    node: Node,
    descriptors: bytes = b"",
    ttl: timedelta | None = None,
    advertised: bytes = b"",
) -> int:
    """Make `node` part of a version of a service; the revision that holds it.

    Registering the same again changes nothing but the lease, and wakes nobody. Without `ttl` the runner answers for the
    node's life, and what a node at this address said of itself before is kept; with it the node is dropped when it is
    not registered again in time.

    Descriptors that are none or excessive, or more than the namespace may have, are left out of a node that the runner
    answers for, and its metadata says so; with `ttl` they raise InvalidArgument or ResourceExhausted. Raises NotFound
    for an unknown namespace.
    """
    fault = _find_fault(descriptors)
    if fault and ttl is not None:
        raise InvalidArgument(f"The descriptors cannot be taken: {fault}.")
    there = models.Node.objects.in_namespace(namespace).filter(
        live(), service=service, version=version, host=node.host, port=node.port
    )
    facts = {
        "service": service,
        "version": version,
        "protocol": protocol,
        "host": node.host,
        "port": node.port,
        "metadata": {**node.metadata, **_warning(fault)},
        "descriptors_id": None if fault else _keep(descriptors),
        "advertised": advertised if ttl is not None else next((row.advertised for row in there if row.advertised), b""),
        "is_leased": ttl is not None,
    }
    known = models.Node.objects.in_namespace(namespace).filter(live(), node_id=node.id).first()
    if known is not None and all(_plain(getattr(known, name)) == value for name, value in facts.items()):
        _renew(known, ttl)
        return current_revision()
    if not Namespace.objects.filter(slug=namespace).exists():
        raise NotFound(f"Namespace {namespace!r} does not exist.")
    return _enter(namespace, node.id, facts, ttl, there)


def _enter(
    namespace: str,
    node_id: str,
    facts: dict[str, object],
    ttl: timedelta | None,
    there: NamespacedQuerySet[models.Node],
) -> int:
    """Write the node as the next revision; without `ttl` in the place of those `there` that registered themselves."""
    revision = _advance()
    if fault := _find_excess(namespace, node_id, facts):
        if ttl is not None:
            raise ResourceExhausted(f"The descriptors and endpoints cannot be taken: {fault}.")
        facts = {
            **facts,
            "descriptors_id": None,
            "metadata": {**cast("dict[str, str]", facts["metadata"]), **_warning(fault)},
        }
    if ttl is None:
        there.filter(is_leased=True).exclude(node_id=node_id).delete()
    rows = models.Node.objects.across_namespaces()
    row, _ = rows.update_or_create(namespace_id=namespace, node_id=node_id, defaults={**facts, "revision": revision})
    _renew(row, ttl)
    return revision


@transaction.atomic
def announce(  # noqa: PLR0913 - like register
    *,
    namespace: str,
    service: str,
    version: str,
    protocol: str,
    nodes: Collection[Node],
    ttl: timedelta,
    by: Account,
    descriptors: bytes = b"",
    advertised: bytes = b"",
    is_confined: bool = False,
) -> None:
    """Register nodes that nobody but themselves answers for; `is_confined`: none that is another service's now.

    A replica that the runner registered may announce itself too: its endpoints are noted with the runner's node. A
    service's account announces its own release's replicas; everybody else needs the scope `admin`. Raises
    PermissionDenied for other accounts, for the id of a replica and for an address that is not the service's to serve,
    ResourceExhausted when the namespace has announced all the nodes that it may.
    """
    replicas = _replicas(namespace, service, by)
    strangers = [node for node in nodes if (node.host, node.port) not in replicas]
    _require_room(namespace, strangers)
    _require_theirs(namespace, service, strangers, by, hosts={host for host, _ in replicas})
    taken = models.Node.objects.in_namespace(namespace).filter(node_id__in=[node.id for node in nodes])
    if is_confined and taken.exclude(service=service).exists():
        raise PermissionDenied("the node is another service's")
    for node in nodes:
        if row := replicas.get((node.host, node.port)):
            _note(row, advertised)
    for node in strangers:
        register(
            namespace=namespace,
            service=service,
            version=version,
            protocol=protocol,
            node=node,
            descriptors=descriptors,
            ttl=ttl,
            advertised=advertised,
        )


def _replicas(namespace: str, service: str, by: Account) -> dict[tuple[str, int], models.Node]:
    """The service's replicas that the account may speak for, by address."""
    rows = list(models.Node.objects.in_namespace(namespace).filter(is_leased=False, service=service))
    if _is_admin(by):
        return {(row.host, row.port): row for row in rows}
    accounts = addresses.accounts([row.node_id for row in rows])
    is_here = by.issuer == namespace
    return {(row.host, row.port): row for row in rows if is_here and accounts.get(row.node_id) == by.id}


def _is_admin(by: Account) -> bool:
    return by.type != "service" and "admin" in by.scopes


def _require_theirs(
    namespace: str, service: str, nodes: Collection[Node], by: Account, *, hosts: Collection[str]
) -> None:
    """Raises PermissionDenied unless the account may announce all of these. `hosts` are those of its replicas."""
    if not nodes:
        return
    _lock_addresses()
    ports = {node.port for node in nodes}
    survey = addresses.survey([(node.host, node.port) for node in nodes], announcers=announcers(ports))
    for node in nodes:
        facts = {"namespace": namespace, "service": service, "hosts": hosts}
        if refusal := survey.refusal(node.host, node.port, **facts):  # type: ignore[arg-type]
            raise PermissionDenied(refusal)
        if not _is_admin(by) and addresses.is_loopback(node.host):
            _require_own_port(survey, namespace, node.port, by)
    taken = models.Node.objects.in_namespace(namespace).filter(is_leased=False, node_id__in=[node.id for node in nodes])
    if row := taken.first():
        raise PermissionDenied(f"the node {row.node_id} is the platform's own")


def _require_own_port(survey: addresses.Survey, namespace: str, port: int, by: Account) -> None:
    """Raises PermissionDenied unless a replica of the account's own release has the port."""
    if by.type != "service":
        raise PermissionDenied("the scope admin is required to register what the platform does not run")
    if by.issuer != namespace or not survey.is_held_by(by.id, namespace=namespace, port=port):
        raise PermissionDenied(f"port {port} is not that of a replica of the account {by.id}")


def _lock_addresses() -> None:
    """Until this transaction ends nobody else announces an address, and no replica is given a port."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('registry_addresses'))")


@transaction.atomic
def vacate(*, port: int) -> int:
    """Drop what was announced at a loopback port that a replica has been given; the revision that is without it.

    To be called once the replica's row has the port: what is announced later is refused because of that.
    """
    _lock_addresses()
    rows = models.Node.objects.across_namespaces().filter(is_leased=True, port=port)
    return _drop(rows.filter(pk__in=[row.pk for row in rows if addresses.is_loopback(row.host)]))


def _note(row: models.Node, advertised: bytes) -> None:
    """Keep what a replica says of itself. The row's revision stays: the newest decides what the version speaks.

    Raises ResourceExhausted when that is more than the namespace may have.
    """
    if advertised and bytes(row.advertised) != advertised:
        _advance()
        facts = {name: getattr(row, name) for name in ("service", "version", "metadata", "descriptors_id")}
        if fault := _find_excess(row.namespace_id, row.node_id, {**facts, "advertised": advertised}):
            raise ResourceExhausted(f"The endpoints cannot be taken: {fault}.")
        models.Node.objects.across_namespaces().filter(pk=row.pk).update(advertised=advertised)


def _require_room(namespace: str, nodes: Collection[Node]) -> None:
    """Let these nodes be announced; those that are new wait for other new ones before anything else is locked."""
    announced = models.Node.objects.in_namespace(namespace).filter(is_leased=True)
    ids = {node.id for node in nodes}
    new = len(ids) - announced.filter(node_id__in=ids).count()
    if not new:
        return
    Namespace.objects.select_for_update(no_key=True).filter(slug=namespace).first()
    most = quotas.limit(namespace, "nodes")
    if announced.exclude(node_id__in=ids).count() + len(ids) > most:
        raise ResourceExhausted(f"Namespace {namespace!r} may announce {most} nodes; this would make more.")


@transaction.atomic
def deregister(*, namespace: str, node_ids: Collection[str], leased_only: bool = False, only_of: str = "") -> int:
    """Drop nodes; the revision that is without them. Unknown ids are no error.

    With `leased_only` the nodes that the runner answers for stay: what a service may do for itself. With `only_of` so
    do those of other services.
    """
    rows = models.Node.objects.in_namespace(namespace).filter(node_id__in=node_ids)
    rows = rows.filter(service=only_of) if only_of else rows
    return _drop(rows.filter(is_leased=True) if leased_only else rows)


@transaction.atomic
def forget(*, namespace: str, service: str, host: str, port: int) -> int:
    """Drop what has announced itself at an address where nothing listens any more; the revision that is without it."""
    rows = models.Node.objects.in_namespace(namespace).filter(service=service, host=host, port=port)
    return _drop(rows.filter(is_leased=True))


@transaction.atomic
def note_unused(reasons: Mapping[tuple[str, str], str]) -> None:
    """Keep, by namespace and service, why the gateway does not use what services tell of themselves; nothing else."""
    there = set(
        Namespace.objects.filter(slug__in={namespace for namespace, _ in reasons}).values_list("slug", flat=True)
    )
    models.UnusedInterface.objects.across_namespaces().delete()
    models.UnusedInterface.objects.across_namespaces().bulk_create(
        models.UnusedInterface(namespace_id=namespace, service=service, reason=reason)
        for (namespace, service), reason in reasons.items()
        if namespace in there
    )


@transaction.atomic
def prune(*, at: datetime) -> int:
    """Drop leased nodes whose lease has lapsed, and what nobody has or sends any more; the revision afterwards."""
    rows = models.Node.objects.across_namespaces().filter(is_leased=True).exclude(lease__expires_at__gt=at)
    revision = _drop(rows)
    _drop_orphans(at)
    gone = [ack.pk for ack in acknowledgements() if ack.at < at - ORPHAN_AGE and not _has_process(ack)]
    models.EnvoyAck.objects.filter(pk__in=gone).delete()
    return revision


def _drop_orphans(at: datetime) -> None:
    """Drop descriptors that no node has: the old ones, and the oldest beyond what may be kept."""
    rows = models.DescriptorSet.objects.filter(nodes=None)
    kept, left_bytes = [], LARGEST_ORPHANS_BYTES
    for digest, size_bytes in rows.order_by("-created_at").values_list("sha256", _octets("content")):
        left_bytes -= size_bytes
        if left_bytes < 0:
            break
        kept.append(digest)
    rows.exclude(pk__in=kept, created_at__gte=at - ORPHAN_AGE).delete()


def record_ack(*, envoy_id: str, pid: int, revision: int, connected: bool, at: datetime) -> None:
    """Note how far an Envoy has followed (0: not yet), and whether its stream is open."""
    models.EnvoyAck.objects.update_or_create(
        envoy_id=envoy_id, defaults={"pid": pid, "revision": revision, "connected": connected, "at": at}
    )


def acknowledged(revision: int, *, at: datetime) -> bool:
    """Whether there is a live Envoy, and every live Envoy has acknowledged `revision` or a later one.

    An Envoy that was not heard of for 60 s and whose process is gone does not count. Processes are looked up on this
    machine: an xds that serves Envoys elsewhere must renew their acknowledgements more often than that.
    """
    alive = [ack for ack in acknowledgements() if _is_alive(ack, at)]
    return bool(alive) and all(ack.revision >= revision for ack in alive)


def _is_alive(ack: models.EnvoyAck, at: datetime) -> bool:
    return ack.at > at - GONE_AFTER or _has_process(ack)


def _has_process(ack: models.EnvoyAck) -> bool:
    """Whether the process that was heard of then still runs, rather than a later one that got its number."""
    try:
        return psutil.Process(ack.pid).create_time() <= ack.at.timestamp() + 1
    except psutil.NoSuchProcess:
        return False


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value


def _find_fault(descriptors: bytes) -> str:
    """What is wrong with descriptors; those that are kept already were judged when they came."""
    if not descriptors or models.DescriptorSet.objects.filter(pk=_digest(descriptors)).exists():
        return ""
    return interfaces.find_fault(descriptors)


def _find_excess(namespace: str, node_id: str, facts: Mapping[str, Any]) -> str:
    """Why a node would be more than its namespace may tell of its services; blank when there is room.

    Each version's descriptors count once, as large as the gateway makes them. The caller holds the revision, so that of
    changes at once each sees those before it.
    """
    rows = models.Node.objects.in_namespace(namespace).filter(live()).exclude(node_id=node_id)
    said = [
        (row["service"], row["version"], row["descriptors_id"], row["said"])
        for row in rows.annotate(said=_octets("advertised") + _octets("metadata")).values(
            "service", "version", "descriptors_id", "said"
        )
    ]
    own_bytes = len(facts["advertised"]) + len(json.dumps(facts["metadata"]))
    said.append((facts["service"], facts["version"], facts["descriptors_id"], own_bytes))
    versions = {row[:3] for row in said if row[2]}
    sizes = dict(
        models.DescriptorSet.objects.filter(pk__in={row[2] for row in versions}).values_list("sha256", "expanded_bytes")
    )
    total = sum(row[3] for row in said) + sum(sizes.get(row[2], 0) for row in versions)
    most = settings.MICRO_DEFAULT_INTERFACE_BYTES
    return f"the services of namespace {namespace!r} may tell {most >> 20} MiB of themselves" if total > most else ""


def _octets(field: str) -> Func:
    """The size of a column in bytes, which Postgres knows without reading it."""
    return Func(
        Cast(field, TextField()) if field == "metadata" else F(field),
        function="octet_length",
        output_field=IntegerField(),
    )


def _warning(fault: str) -> dict[str, str]:
    return {WARNING: interfaces.warning(fault)} if fault else {}


def _digest(descriptors: bytes) -> str:
    return hashlib.sha256(descriptors).hexdigest()


def _keep(descriptors: bytes) -> str | None:
    """The digest under which the descriptors are kept; None for none."""
    if not descriptors:
        return None
    digest = _digest(descriptors)
    if not models.DescriptorSet.objects.filter(pk=digest).exists():
        size_bytes = interfaces.expanded_bytes(descriptors)
        row = models.DescriptorSet(sha256=digest, content=descriptors, expanded_bytes=size_bytes)
        models.DescriptorSet.objects.bulk_create([row], ignore_conflicts=True)
    return digest


def _renew(row: models.Node, ttl: timedelta | None) -> None:
    if ttl is None:
        models.Lease.objects.filter(node=row).delete()
    else:
        models.Lease.objects.update_or_create(node=row, defaults={"expires_at": now() + ttl})


def _drop(rows: NamespacedQuerySet[models.Node]) -> int:
    """Delete nodes, and advance only when there were some."""
    if not rows.exists():
        return current_revision()
    revision = _advance()
    rows.delete()
    return revision


def _advance() -> int:
    """Take the next revision, and with it the lock that orders all changes until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO registry_revision AS r (id, value) VALUES (1, 1) "
            "ON CONFLICT (id) DO UPDATE SET value = r.value + 1 RETURNING value"
        )
        (revision,) = cursor.fetchone()
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
    return int(revision)
