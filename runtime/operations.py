"""What can be asked of the runtime: deploy, read, kill. The one door for every edge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from django.db import connection, transaction
from django.db.models import Sum
from django.utils.timezone import now

from micro.errors import InvalidArgument, NotFound
from primitives.registry import operations as registry
from tenants import names, quotas
from tenants.models import Namespace

from . import credentials, notices, rollouts, sources, tasks
from .models import Deployment, Replica, Service, Upload
from .sources import git, uploads

DEFAULT_VERSION = "latest"
MOST_INSTANCES = 100
_DEPLOY_LOCK = 7_214_002  # the class of the advisory lock

_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+#=-]{0,199}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = ("MICRO_SERVICE_", "MICRO_AUTH_", "MICRO_NAMESPACE", "MICRO_PROXY")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to run: where the source is and how to start it. Blank values leave the choice to the platform."""

    source: str  # a git source or source://name:version
    folder: str = ""  # below the root of an upload
    shown_source: str = ""  # what the user typed
    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    instances: int = 0


def deploy(*, namespace: Namespace, name: str, version: str, order: Order, by: str = "") -> Deployment:
    """Queue a deployment; the service is made when there is none of that name and version.

    Supersedes a deployment of the service that is under way. Raises InvalidArgument, naming what is wrong, NotFound for
    an upload that is not there, ResourceExhausted when the namespace has too few replicas left.
    """
    names.validate_service(name, namespace=namespace.slug)
    require_version(version)
    _require_order(order)
    source = _resolve(namespace, version, order)
    with transaction.atomic():
        _one_at_a_time(namespace)
        service, _ = (
            Service.objects.in_namespace(namespace)
            .alive()
            .get_or_create(namespace=namespace, name=name, version=version)
        )
        rollouts.supersede(service)
        instances = order.instances or _instances(service)
        quotas.require(namespace, replicas=lambda: _used(namespace, except_for=service) + instances)
        service.source, service.owner, service.updated_at = order.shown_source or order.source, by, now()
        service.save(update_fields=["source", "owner", "updated_at"])
        return _queue(service, source, order, instances=instances, by=by)


def update(*, namespace: Namespace, name: str, version: str, order: Order, by: str = "") -> Deployment:
    """The same for a service that is there already; its environment and command stay where the order names none.

    Raises NotFound when there is no such service, and as `deploy` does.
    """
    service = find(namespace=namespace, name=name, version=version)
    last = service.deployments.last()
    order = Order(
        source=order.source,
        folder=order.folder,
        shown_source=order.shown_source,
        command=order.command or (last.command if last else ()),
        env=order.env or (last.env if last else {}),
        instances=order.instances,
    )
    return deploy(namespace=namespace, name=name, version=version, order=order, by=by)


@transaction.atomic
def delete(*, namespace: Namespace, name: str, version: str) -> None:
    """Kill a service: out of status and registry now, its processes, files and accounts as soon as the runner sees it.

    Raises NotFound when there is no such service.
    """
    service = find(namespace=namespace, name=name, version=version)
    rollouts.supersede(service)
    service.deleted_at = now()
    service.save(update_fields=["deleted_at"])
    replicas = Replica.objects.in_namespace(namespace).filter(service=service)
    replicas.update(is_wanted=False)
    registry.deregister(namespace=namespace.slug, node_ids=[replica.node_id for replica in replicas])
    for release in service.releases.select_related("service__namespace"):
        credentials.revoke(release)
    Upload.objects.in_namespace(namespace).filter(name=name, version=version).delete()
    notices.ring()


def find(*, namespace: Namespace, name: str, version: str) -> Service:
    """The living service. Raises NotFound."""
    service: Service | None = Service.objects.in_namespace(namespace).alive().filter(name=name, version=version).first()
    if service is None:
        raise NotFound("not found")
    return service


def require_version(version: str) -> None:
    """Raises InvalidArgument unless `version` may be one: the name of a branch, tag or commit, or any such word."""
    if not _VERSION.fullmatch(version):
        raise InvalidArgument(f"The version {version[:100]!r} is not a word of letters, digits and ._/+#=-.")


def _require_order(order: Order) -> None:
    if not 0 <= order.instances <= MOST_INSTANCES:
        raise InvalidArgument(f"A service can have 1 to {MOST_INSTANCES} instances, not {order.instances}.")
    for name, value in order.env.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            raise InvalidArgument(f"{name[:100]!r} cannot be the name of an environment variable.")
        if name == "PORT" or name.startswith(_OURS):
            raise InvalidArgument(f"The environment variable {name} is set by the platform.")
    if order.env.get("MICRO_PROTOCOL", "grpc") not in {"grpc", "http"}:
        raise InvalidArgument("MICRO_PROTOCOL is grpc or http.")
    if any("\0" in word for word in order.command):
        raise InvalidArgument("The command holds a NUL.")
    sources.require_folder(order.folder)


def _resolve(namespace: Namespace, version: str, order: Order) -> str:
    """The source as the deployment keeps it: an archive by its digest, a repository in its one spelling."""
    if order.source.startswith(uploads.SCHEME):
        return sources.ARCHIVE + uploads.find(namespace=namespace, upload_id=order.source).sha256
    return str(git.parse(order.source, ref="" if version == DEFAULT_VERSION else version))


def _one_at_a_time(namespace: Namespace) -> None:
    """Order the deploys of a namespace. Not by its row: inserting rows that refer to it would deadlock with that."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_DEPLOY_LOCK, namespace.pk])


def _instances(service: Service) -> int:
    last = service.deployments.last()
    return last.instances if last else 1


def _used(namespace: Namespace, *, except_for: Service) -> int:
    """Replicas of the other services: those of their last deployments."""
    last_ids = (
        Deployment.objects.in_namespace(namespace)
        .filter(service__deleted_at=None)
        .exclude(service=except_for)
        .order_by("service_id", "-created_at")
        .distinct("service_id")
        .values("pk")
    )
    used = Deployment.objects.in_namespace(namespace).filter(pk__in=list(last_ids.values_list("pk", flat=True)))
    return int(used.aggregate(total=Sum("instances"))["total"] or 0)


def _queue(service: Service, source: str, order: Order, *, instances: int, by: str) -> Deployment:
    deployment: Deployment = Deployment.objects.in_namespace(service.namespace).create(
        namespace=service.namespace,
        service=service,
        source=source,
        folder=sources.require_folder(order.folder),
        command=list(order.command),
        env=dict(order.env),
        instances=instances,
        by=by,
        lease_until=now() + tasks.RESEND_AFTER,
    )
    slug, key = service.namespace.slug, str(deployment.pk)
    transaction.on_commit(partial(tasks.send, namespace=slug, deployment_id=key))
    return deployment
