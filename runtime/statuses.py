"""What a service's rows mean to its user: one status word, the step it is at, and what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from django.conf import settings

from micro.errors import NotFound
from primitives.registry import records as registry
from tenants.models import Namespace

from . import turns
from .models import Deployment, Replica, Service


class Status(IntEnum):
    """The words of the wire, by their numbers."""

    UNKNOWN = 0
    PENDING = 1
    BUILDING = 2
    STARTING = 3
    RUNNING = 4
    STOPPING = 5
    STOPPED = 6
    ERROR = 7


_OF_STATE = {
    Deployment.State.QUEUED: Status.PENDING,
    Deployment.State.FETCHING: Status.BUILDING,
    Deployment.State.DETECTING: Status.BUILDING,
    Deployment.State.BUILDING: Status.BUILDING,
    Deployment.State.STARTING: Status.STARTING,
    Deployment.State.SWITCHING: Status.STARTING,
    Deployment.State.FAILED: Status.ERROR,
}


@dataclass(frozen=True, slots=True)
class Report:
    """A service as its user sees it, with the rows that say so: its last deployment and its replicas."""

    service: Service
    status: Status
    metadata: dict[str, str] = field(default_factory=dict)
    deployment: Deployment | None = None
    replicas: tuple[Replica, ...] = ()

    @property
    def serving(self) -> int:
        """How many replicas answer."""
        return sum(replica.state == Replica.State.SERVING for replica in self.replicas)

    @property
    def wanted(self) -> int:
        """How many replicas there should be."""
        return sum(replica.is_wanted for replica in self.replicas)


def read(*, namespace: Namespace, name: str = "", version: str = "") -> list[Report]:
    """The namespace's living services, by name and version; `name` and `version` narrow it when they are given."""
    rows = Service.objects.in_namespace(namespace).alive().select_related("release", "namespace")
    rows = rows.filter(name=name) if name else rows
    services = list((rows.filter(version=version) if version else rows).order_by("name", "version"))
    last = _last_deployments(namespace, services)
    replicas: dict[UUID, list[Replica]] = defaultdict(list)
    for replica in Replica.objects.in_namespace(namespace).filter(service__in=services):
        replicas[replica.service_id].append(replica)
    queue, told = turns.Queue(), registry.warnings(namespace=namespace.slug)
    return [
        report(service, last.get(service.pk), replicas[service.pk], queue, told.get(service.name, ""))
        for service in services
    ]


def read_one(*, namespace: Namespace, name: str, version: str) -> Report:
    """The report on one living service. Raises NotFound."""
    for found in read(namespace=namespace, name=name, version=version):
        return found
    raise NotFound(f"There is no service {name!r} in version {version!r}.")


def _last_deployments(namespace: Namespace, services: Iterable[Service]) -> dict[UUID, Deployment]:
    rows = (
        Deployment.objects.in_namespace(namespace)
        .filter(service__in=list(services))
        .select_related("service__namespace")
    )
    return {row.service_id: row for row in rows.order_by("service_id", "-created_at").distinct("service_id")}


def report(
    service: Service, deployment: Deployment | None, replicas: Iterable[Replica], queue: turns.Queue, told: str = ""
) -> Report:
    """The report on one service, from its last deployment, all its replicas, and what the registry is `told` of it."""
    replicas = list(replicas)
    status, error = _status(service, deployment, replicas)
    metadata = {
        "source": service.source,
        "owner": service.owner,
        "group": service.namespace.slug,
        "started": _written(service.updated_at),
        "since": _written(_since(service, deployment, replicas, status)),
        "build": deployment.pk.hex[:7] if deployment else "",
        "step": _step(deployment, replicas),
        "release": str(service.release.number) if service.release else "",
        "serving": _still_serving(service, deployment, replicas),
        "address": address(service),
        "grants": " ".join(deployment.grants) if deployment else "",
        "error": error,
        "warning": "" if error else _warning(deployment, replicas, queue) or told,
    }
    theirs = {name: text for name, text in service.metadata.items() if name not in metadata}
    known = {key: value for key, value in metadata.items() if value} | theirs
    return Report(service, status, known, deployment, tuple(sorted(replicas, key=lambda replica: replica.created_at)))


def _status(service: Service, deployment: Deployment | None, replicas: list[Replica]) -> tuple[Status, str]:
    if deployment is None:
        return Status.UNKNOWN, ""
    if deployment.state in _OF_STATE:
        return _OF_STATE[Deployment.State(deployment.state)], deployment.reason
    if deployment.state == Deployment.State.CANCELLED and service.release_id is None:
        return Status.STOPPED, ""
    current = [replica for replica in replicas if replica.release_id == service.release_id and replica.is_wanted]
    if any(replica.state == Replica.State.SERVING for replica in current):
        return Status.RUNNING, ""
    crashed = next((replica for replica in current if replica.reason), None)
    return (Status.ERROR, crashed.reason) if crashed else (Status.STARTING, "")


def _since(service: Service, deployment: Deployment | None, replicas: Iterable[Replica], status: Status) -> datetime:
    """Since when its status is what it is, as far as rows tell: running, since the first replica that answers does."""
    answering = [one for one in replicas if one.release_id == service.release_id and one.state == Replica.State.SERVING]
    if status == Status.RUNNING and answering:
        return min(one.changed_at or one.created_at for one in answering)
    return (deployment.finished_at if deployment else None) or service.updated_at


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _still_serving(service: Service, deployment: Deployment | None, replicas: Iterable[Replica]) -> str:
    """The release that a failed or cancelled deployment has left serving; blank where no replica of it answers."""
    ended = {Deployment.State.FAILED, Deployment.State.CANCELLED}
    if deployment is None or deployment.state not in ended or service.release is None:
        return ""
    serves = any(one.release_id == service.release_id and one.state == Replica.State.SERVING for one in replicas)
    return str(service.release.number) if serves else ""


def _warning(deployment: Deployment | None, replicas: Iterable[Replica], queue: turns.Queue) -> str:
    """Why the last deployment waits, else the limit that a serving replica meets, else who cancelled the deployment."""
    if deployment and (why := queue.why(deployment)):
        return why
    for replica in replicas:
        if replica.state == Replica.State.SERVING and replica.reason:
            return replica.reason
    return deployment.reason if deployment and deployment.state == Deployment.State.CANCELLED else ""


def _step(deployment: Deployment | None, replicas: Iterable[Replica]) -> str:
    if deployment is None or deployment.state in {Deployment.State.FAILED, Deployment.State.SUPERSEDED}:
        return ""
    if deployment.state != Deployment.State.LIVE:
        return str(deployment.state)
    leaving = {Replica.State.LEAVING, Replica.State.DRAINING, Replica.State.STOPPING}
    return "draining" if any(replica.state in leaving for replica in replicas) else ""


def address(service: Service) -> str:
    """The service's own host on the API gateway; blank for a name with dots, which has only a path."""
    if "." in service.name:
        return ""
    port = settings.MICRO_API_ADDRESS[1]
    host = f"{service.name}--{service.namespace.slug}.{settings.MICRO_BASE_DOMAIN}"
    scheme, usual = ("https", 443) if settings.MICRO_TLS_CERT else ("http", 80)
    return f"{scheme}://{host}" + ("" if port == usual else f":{port}")
