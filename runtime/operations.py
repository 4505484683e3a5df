"""What can be asked of the runtime: deploy, read, kill. The one door for every edge."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, Sum
from django.utils.timezone import now

from micro.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from primitives.registry import operations as registry
from primitives.registry import records
from primitives.rules.operations import require_permitted
from tenants import names, quotas
from tenants.access.actors import require
from tenants.access.grants import require_grants, require_may_grant
from tenants.access.permissions import Permission
from tenants.models import Namespace
from transport.callers import Account

from . import credentials, notices, rollouts, sources, tasks, variables
from .models import ORIGINS, Deployment, Replica, Service, Upload
from .sources import git, tokens, uploads

DEFAULT_VERSION = "latest"
MOST_INSTANCES = 100
MOST_METADATA_CHARACTERS = 4096
_DEPLOY_LOCK = 7_214_002  # the class of the advisory lock

_VERSION = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_./+#=@-]{0,199}")
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
    secrets: Mapping[str, str] = field(default_factory=dict)  # further variables, never to be shown again
    instances: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)  # what its owner says of it; none: as it was
    grants: Sequence[str] | None = None  # what it may do beyond a service's own; None: as it was
    git_token: str = field(default="", repr=False)  # opens a private repository: a token, or user:password


@dataclass(frozen=True, slots=True)
class Changes:
    """What becomes of a service's environment variables; those that are not named stay as they are."""

    plain: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    removed: Collection[str] = ()


def deploy(*, namespace: Namespace, name: str, version: str, order: Order, by: Account) -> Deployment:
    """Queue a deployment; the service is made when there is none of that name and version.

    Of a service that is there, variables, secrets and the number of instances stay where the order names none, and so
    does the token of the same repository.
    Supersedes a deployment of the service that is under way. Raises InvalidArgument, naming what is wrong, NotFound for
    an upload that is not there, AlreadyExists for a new name under which something else is registered,
    ResourceExhausted when the namespace has too few replicas left, PermissionDenied when the namespace is not the
    account's.
    """
    _require_may(by, namespace, "Runtime.Create")
    return _deploy(namespace=namespace, name=name, version=version, order=order, by=by)


def _deploy(*, namespace: Namespace, name: str, version: str, order: Order, by: Account) -> Deployment:
    names.validate_service(name, namespace=namespace.slug)
    require_version(version)
    _require_order(order)
    source = _resolve(namespace, version, order)
    with transaction.atomic():
        _one_at_a_time(namespace)
        _require_free(namespace, name)
        service, _ = (
            Service.objects.in_namespace(namespace)
            .alive()
            .get_or_create(namespace=namespace, name=name, version=version)
        )
        last = service.deployments.last()
        order = _with_variables_of(last, order)
        token_id = last.git_token_id if last and _is_same_repository(last.source, source) else None
        return _place(service, source, order, kept=Kept(last.secrets if last else {}, token_id), by=by)


def update(*, namespace: Namespace, name: str, version: str, order: Order, by: Account) -> Deployment:
    """The same for a service that is there already; its source and command stay as well where the order names none.

    Raises NotFound when there is no such service, and as `deploy` does.
    """
    _require_may(by, namespace, "Runtime.Update")
    missing = f"{name}@{version} not found; run it first with micro run"
    service = find(namespace=namespace, name=name, version=version, missing=missing)
    last = service.deployments.last()
    order = replace(order, command=order.command or (last.command if last else ()))
    if order.source or last is None:
        return _deploy(namespace=namespace, name=name, version=version, order=order, by=by)
    return _again(service, last, _with_variables_of(last, order), by=by)


def redeploy(*, namespace: Namespace, deployment_id: UUID, by: Account) -> Deployment:
    """Deploy anew what a deployment deployed, finished or not: its source, command, environment and instances.

    Raises NotFound when there is no such deployment, its service was killed or its archive is no longer there, and as
    `deploy` does.
    """
    _require_may(by, namespace, "Deployments.Redeploy")
    deployment = find_deployment(namespace=namespace, deployment_id=deployment_id)
    service = find(namespace=namespace, name=deployment.service.name, version=deployment.service.version)
    order = Order(source="", command=deployment.command, env=deployment.env, instances=deployment.instances)
    return _again(service, deployment, order, by=by)


def set_variables(*, namespace: Namespace, name: str, version: str, changes: Changes, by: Account) -> Deployment:
    """Deploy the last deployment's source anew with changed environment variables.

    Raises NotFound when there is no such service, and as `deploy` does.
    """
    _require_may(by, namespace, "Variables.Set")
    last = last_deployment(namespace=namespace, name=name, version=version)
    service = last.service
    gone = {*changes.removed, *changes.secrets}
    env = {name: value for name, value in last.env.items() if name not in gone} | dict(changes.plain)
    order = Order(source="", command=last.command, env=env, secrets=changes.secrets, instances=last.instances)
    return _again(service, last, order, by=by, dropped=changes.removed)


def cancel(*, namespace: Namespace, deployment_id: UUID, by: Account) -> Deployment:
    """End a deployment that is under way: its build stops, its replicas go, what ran before goes on running.

    Raises NotFound when there is no such deployment, FailedPrecondition when it has ended or its replicas serve
    already, PermissionDenied when the namespace is not the account's.
    """
    _require_may(by, namespace, "Runtime.Cancel")
    deployment = find_deployment(namespace=namespace, deployment_id=deployment_id)
    is_ended = rollouts.cancel(deployment.pk, reason=f"Cancelled by {by.name or by.id}.")
    deployment = find_deployment(namespace=namespace, deployment_id=deployment_id)
    if not is_ended:
        raise FailedPrecondition(_why_not(deployment))
    return deployment


def cancel_last(*, namespace: Namespace, name: str, version: str, by: Account) -> Deployment:
    """The same for the deployment of a service that is under way.

    Raises NotFound when there is no such service, and as `cancel` does.
    """
    _require_may(by, namespace, "Runtime.Cancel")
    last = find(namespace=namespace, name=name, version=version).deployments.last()
    if last is None:
        raise NotFound("The service was never deployed.")
    return cancel(namespace=namespace, deployment_id=last.pk, by=by)


def _require_may(by: Account, namespace: Namespace, method: str) -> None:
    """Raises PermissionDenied unless role, grants and rules let `by` do what this method of `runtime` does."""
    require(by, namespace, Permission.RUNTIME_DEPLOY)
    require_permitted(by, "runtime", method)


def _why_not(deployment: Deployment) -> str:
    if deployment.state == Deployment.State.SWITCHING:
        return "Its replicas serve already: deploy what ran before again instead."
    return (
        f"There is nothing to cancel: this deployment of {deployment.service.name} is over, it is {deployment.state}."
    )


@transaction.atomic
def delete(*, namespace: Namespace, name: str, version: str, by: Account) -> None:
    """Kill a service: out of status and registry now, its processes, files and accounts as soon as the runner sees it.

    Raises NotFound when there is no such service, PermissionDenied when the namespace is not the account's.
    """
    _require_may(by, namespace, "Runtime.Delete")
    service = find(namespace=namespace, name=name, version=version)
    rollouts.supersede(service)
    service.deleted_at = now()
    service.save(update_fields=["deleted_at"])
    replicas = Replica.objects.in_namespace(namespace).filter(service=service)
    replicas.update(is_wanted=False)
    registry.deregister(namespace=namespace.slug, node_ids=[replica.node_id for replica in replicas])
    releases = list(service.releases.select_related("service__namespace"))
    for release in releases:
        credentials.revoke(release)
    credentials.forget(releases, namespace=namespace)
    Upload.objects.in_namespace(namespace).filter(name=name, version=version).delete()
    notices.ring()


def find(*, namespace: Namespace, name: str, version: str, missing: str = "not found") -> Service:
    """The living service. Raises NotFound with the words in `missing`."""
    rows = Service.objects.in_namespace(namespace).alive().select_related("namespace")
    service: Service | None = rows.filter(name=name, version=version).first()
    if service is None:
        raise NotFound(missing)
    return service


def find_deployment(*, namespace: Namespace, deployment_id: UUID) -> Deployment:
    """The deployment with its service, release and namespace, of a service that lives. Raises NotFound."""
    rows = Deployment.objects.in_namespace(namespace).filter(pk=deployment_id, service__deleted_at=None)
    deployment: Deployment | None = rows.select_related("service__namespace", "release").first()
    if deployment is None:
        raise NotFound("There is no such deployment.")
    return deployment


def last_deployment(*, namespace: Namespace, name: str, version: str) -> Deployment:
    """What was deployed last of a living service. Raises NotFound when there is no such service, or nothing was."""
    service = find(namespace=namespace, name=name, version=version, missing=f"There is no service {name}@{version}.")
    last = service.deployments.last()
    if last is None:
        raise NotFound("The service was never deployed.")
    return last


def list_deployments(
    *,
    namespace: Namespace,
    limit: int,
    service: str = "",
    state: str = "",
    is_replaced: bool | None = None,
    after: UUID | None = None,
) -> list[Deployment]:
    """At most `limit` deployments of living services, newest first; with `after` only older ones.

    Raises NotFound when `after` is none of the namespace's.
    """
    rows = Deployment.objects.in_namespace(namespace).filter(service__deleted_at=None)
    rows = rows.filter(service__name=service) if service else rows
    rows = rows.filter(state=state) if state else rows
    rows = rows if is_replaced is None else rows.replaced(is_replaced)
    if after:
        at = find_deployment(namespace=namespace, deployment_id=after).created_at
        rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=after))
    return list(rows.select_related("service__namespace", "release").order_by("-created_at", "-pk")[:limit])


def _require_free(namespace: Namespace, name: str) -> None:
    """Raises AlreadyExists for a name that the platform does not run, and others register: calls would reach either.

    A replica that is still leaving may have registered itself, as Micro 3's Go services do. Whoever registers at this
    very moment finds the service at the next renewal: `micro service` ends then.
    """
    if Service.objects.in_namespace(namespace).alive().filter(name=name).exists():
        return
    leaving = Replica.objects.in_namespace(namespace).filter(service__name=name).exclude(port=None)
    ports = set(leaving.values_list("port", flat=True))
    for node in records.announced(namespace=namespace.slug, service=name):
        if node.port not in ports:
            raise AlreadyExists(
                f"The name {name} is registered by something that the platform does not run, at "
                f"{node.host}:{node.port}: end that first (`micro service`, or a program of your own), or choose "
                "another. What was killed there is forgotten within 90 seconds."
            )


def require_version(version: str) -> None:
    """Raises InvalidArgument unless `version` may be one: the name of a branch, tag or commit, or any such word."""
    if not _VERSION.fullmatch(version):
        raise InvalidArgument(f"The version {version[:100]!r} is not a word of letters, digits and ._/+#=@-.")


def require_variable(name: str, value: str) -> None:
    """Raises InvalidArgument for an environment variable that a service cannot be given."""
    if not _VARIABLE.fullmatch(name):
        raise InvalidArgument(f"{name[:100]!r} cannot be the name of an environment variable.")
    if "\0" in value:
        raise InvalidArgument(f"The value of the environment variable {name[:100]} holds a NUL.")
    if name == "PORT" or name.startswith(_OURS):
        raise InvalidArgument(f"The environment variable {name[:100]} is set by the platform.")
    if name == "MICRO_PROTOCOL" and value not in {"grpc", "http"}:
        raise InvalidArgument("MICRO_PROTOCOL is grpc or http.")
    if name == ORIGINS and not all(origin == "*" or names.is_origin(origin) for origin in value.lower().split()):
        raise InvalidArgument(f"{ORIGINS} is a list such as https://a.example http://localhost:3000, or *.")


def _require_order(order: Order) -> None:
    if not 0 <= order.instances <= MOST_INSTANCES:
        raise InvalidArgument(f"A service can have 1 to {MOST_INSTANCES} instances, not {order.instances}.")
    for name, value in (*order.env.items(), *order.secrets.items()):
        require_variable(name, value)
    if twice := order.env.keys() & order.secrets.keys():
        raise InvalidArgument(f"The environment variable {min(twice)} is given twice, once as a secret.")
    _require_metadata(order.metadata)
    require_grants(order.grants or ())
    if any("\0" in word for word in order.command):
        raise InvalidArgument("The command holds a NUL.")
    sources.require_folder(order.folder)
    tokens.require(order.git_token)


def _require_metadata(metadata: Mapping[str, str]) -> None:
    texts = [*metadata, *metadata.values()]
    if not all(metadata) or sum(map(len, texts)) > MOST_METADATA_CHARACTERS or any("\0" in text for text in texts):
        raise InvalidArgument(
            f"The metadata of a service has names, and {MOST_METADATA_CHARACTERS} characters in all, none a NUL."
        )


def _with_variables_of(last: Deployment | None, order: Order) -> Order:
    """The order with the plain variables of an earlier deployment that it does not name itself."""
    if last is None:
        return order
    kept = {name: value for name, value in last.env.items() if name not in order.secrets}
    return replace(order, env=kept | dict(order.env))


def _resolve(namespace: Namespace, version: str, order: Order) -> str:
    """The source as the deployment keeps it: an archive by its digest, a repository in its one spelling."""
    if order.source.startswith(uploads.SCHEME):
        return sources.ARCHIVE + uploads.find(namespace=namespace, upload_id=order.source).sha256
    return str(git.parse(order.source, ref="" if version == DEFAULT_VERSION else version))


@transaction.atomic
def _again(
    service: Service, deployment: Deployment, order: Order, *, by: Account, dropped: Collection[str] = ()
) -> Deployment:
    """Queue the order with the source and the secrets of an earlier deployment, but for the `dropped` ones."""
    _require_order(order)
    sources.require_there(deployment.source, namespace=service.namespace.slug)
    shown = service.source if deployment.source.startswith(sources.ARCHIVE) else deployment.source
    order = replace(order, folder=deployment.folder, shown_source=shown)
    _one_at_a_time(service.namespace)
    secrets = {name: revision for name, revision in deployment.secrets.items() if name not in dropped}
    return _place(service, deployment.source, order, kept=Kept(secrets, deployment.git_token_id), by=by)


@dataclass(frozen=True, slots=True)
class Kept:
    """Ids of the secrets that a deployment takes over from an earlier one, each until the order gives the same."""

    secrets: Mapping[str, int]
    git_token_id: int | None


def _place(service: Service, source: str, order: Order, *, kept: Kept, by: Account) -> Deployment:
    """Put the order into a deployment that replaces one under way. Call it when it is the namespace's turn.

    Raises PermissionDenied when `by` could not give what the service is granted: its code becomes theirs.
    """
    order = replace(order, grants=_grants(service, order))
    require_may_grant(by, order.grants or ())
    rollouts.supersede(service)
    instances = order.instances or _instances(service)
    quotas.require(service.namespace, replicas=lambda: _used(service.namespace, except_for=service) + instances)
    service.source, service.owner, service.updated_at = order.shown_source or order.source, by.name or by.id, now()
    service.metadata = dict(order.metadata) or service.metadata
    service.save(update_fields=["source", "owner", "updated_at", "metadata"])
    secrets = {name: revision for name, revision in kept.secrets.items() if name not in order.env}
    deployment = _queue(service, source, order, instances=instances, by=by)
    deployment.secrets = {**secrets, **variables.seal(service, order.secrets)}
    given = {"git token": order.git_token} if order.git_token and not source.startswith(sources.ARCHIVE) else {}
    deployment.git_token_id = variables.seal(service, given).get("git token", kept.git_token_id)
    deployment.save(update_fields=["secrets", "git_token"])
    return deployment


def _grants(service: Service, order: Order) -> list[str]:
    """Those of the order, or those that the service has by now, which an earlier deployment does not bring back."""
    if order.grants is not None:
        return require_grants(order.grants)
    last = service.deployments.last()
    return list(last.grants) if last else []


def _is_same_repository(first: str, second: str) -> bool:
    if first.startswith(sources.ARCHIVE) or second.startswith(sources.ARCHIVE):
        return False
    return git.parse(first).url == git.parse(second).url


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


def _queue(service: Service, source: str, order: Order, *, instances: int, by: Account) -> Deployment:
    deployment: Deployment = Deployment.objects.in_namespace(service.namespace).create(
        namespace=service.namespace,
        service=service,
        source=source,
        folder=sources.require_folder(order.folder),
        command=list(order.command),
        env=dict(order.env),
        instances=instances,
        grants=list(order.grants or ()),
        by=by.name or by.id,
        lease_until=now() + tasks.RESEND_AFTER,
    )
    slug, key = service.namespace.slug, str(deployment.pk)
    transaction.on_commit(partial(tasks.send, namespace=slug, deployment_id=key))
    return deployment
