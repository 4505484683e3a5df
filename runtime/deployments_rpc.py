"""runtime.Deployments and runtime.Variables on the wire: translate in, one call, translate out."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from micro.errors import InvalidArgument, NotFound
from micro.proto import runtime_pb2 as wire
from tenants.access.actors import enter, needs
from tenants.access.permissions import Permission
from transport.callers import Account, authorize, require_account
from transport.methods import Caller, Methods, unary
from transport.tenancy import in_public

from . import operations, statuses, turns
from .models import Deployment
from .operations import DEFAULT_VERSION

DEFAULT_LIMIT, MOST_ROWS = 20, 100
STATES = frozenset(Deployment.State.values)


async def list_deployments(request: wire.ListDeploymentsRequest, caller: Caller) -> wire.ListDeploymentsResponse:
    """The deployments of a namespace's living services, the newest first."""
    namespace, by = authorize(caller, request.options.namespace), require_account(caller)
    if request.state and request.state not in STATES:
        raise InvalidArgument(f"A deployment is {', '.join(sorted(STATES))}, not {request.state[:40]!r}.")
    if not 0 <= request.limit <= MOST_ROWS:
        raise InvalidArgument(f"The limit is 1 to {MOST_ROWS}.")
    return wire.ListDeploymentsResponse(deployments=await in_public(_list, namespace, request, by))


async def read_deployment(request: wire.ReadDeploymentRequest, caller: Caller) -> wire.ReadDeploymentResponse:
    """One deployment: how far it is, or how it ended and why."""
    namespace, by = authorize(caller, request.options.namespace), require_account(caller)
    return wire.ReadDeploymentResponse(deployment=await in_public(_read, namespace, _id(request.id), by))


async def redeploy(request: wire.RedeployRequest, caller: Caller) -> wire.RedeployResponse:
    """Deploy anew what a deployment deployed."""
    namespace, by = authorize(caller, request.options.namespace), require_account(caller)
    return wire.RedeployResponse(deployment=await in_public(_redeploy, namespace, request, by))


async def list_variables(request: wire.ListVariablesRequest, caller: Caller) -> wire.ListVariablesResponse:
    """The environment variables of a service's last deployment; of secrets the names."""
    namespace, by = authorize(caller, request.options.namespace), require_account(caller)
    return wire.ListVariablesResponse(variables=await in_public(_variables, namespace, request, by))


async def set_variables(request: wire.SetVariablesRequest, caller: Caller) -> wire.SetVariablesResponse:
    """Change some of them, which deploys the service anew."""
    namespace, by = authorize(caller, request.options.namespace), require_account(caller)
    return wire.SetVariablesResponse(deployment=await in_public(_set, namespace, request, by))


def _list(namespace: str, request: wire.ListDeploymentsRequest, by: Account) -> list[wire.Deployment]:
    rows = operations.list_deployments(
        namespace=enter(by, namespace, Permission.RUNTIME_READ),
        limit=request.limit or DEFAULT_LIMIT,
        service=request.service,
        state=request.state,
        is_replaced=request.is_replaced if request.HasField("is_replaced") else None,
        after=_id(request.after) if request.after else None,
    )
    queue = turns.Queue()
    return [_shown(row, queue) for row in rows]


def _read(namespace: str, deployment_id: UUID, by: Account) -> wire.Deployment:
    return _shown(
        operations.find_deployment(namespace=enter(by, namespace, Permission.RUNTIME_READ), deployment_id=deployment_id)
    )


def _redeploy(slug: str, request: wire.RedeployRequest, by: Account) -> wire.Deployment:
    namespace = enter(by, slug, Permission.RUNTIME_DEPLOY)
    deployment_id = _id(request.id) if request.id else None
    if deployment_id is None:
        version = request.version or DEFAULT_VERSION
        deployment_id = operations.last_deployment(namespace=namespace, name=request.service, version=version).pk
    return _shown(operations.redeploy(namespace=namespace, deployment_id=deployment_id, by=by))


def _variables(slug: str, request: wire.ListVariablesRequest, by: Account) -> list[wire.Variable]:
    version = request.version or DEFAULT_VERSION
    last = operations.last_deployment(
        namespace=enter(by, slug, Permission.VARIABLES_READ), name=request.service, version=version
    )
    plain = [wire.Variable(name=name, value=value) for name, value in last.env.items()]
    secret = [wire.Variable(name=name, is_secret=True) for name in last.secrets]
    return sorted([*plain, *secret], key=lambda variable: variable.name)


def _set(slug: str, request: wire.SetVariablesRequest, by: Account) -> wire.Deployment:
    changes = operations.Changes(
        plain=dict(request.plain), secrets=dict(request.secrets), removed=tuple(request.removed)
    )
    deployment = operations.set_variables(
        namespace=enter(by, slug, Permission.RUNTIME_DEPLOY),
        name=request.service,
        version=request.version or DEFAULT_VERSION,
        changes=changes,
        by=by,
    )
    return _shown(deployment)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such deployment.") from None


def _shown(row: Deployment, queue: turns.Queue | None = None) -> wire.Deployment:
    release = getattr(row, "release", None)
    return wire.Deployment(
        id=str(row.pk),
        service=row.service.name,
        version=row.service.version,
        state=row.state,
        reason=(queue or turns.Queue()).reason(row),
        source=row.source,
        digest=release.digest if release else "",
        release=release.number if release else 0,
        instances=row.instances,
        env_names=sorted({*row.env, *row.secrets}),
        by=row.by,
        address=statuses.address(row.service),
        created=_seconds(row.created_at),
        finished=_seconds(row.finished_at),
        is_replaced=row.is_replaced,
        grants=row.grants,
    )


def _seconds(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0


METHODS: Methods = {
    "Deployments.List": unary(
        list_deployments,
        request=wire.ListDeploymentsRequest,
        response=wire.ListDeploymentsResponse,
        scope=needs(Permission.RUNTIME_READ),
    ),
    "Deployments.Read": unary(
        read_deployment,
        request=wire.ReadDeploymentRequest,
        response=wire.ReadDeploymentResponse,
        scope=needs(Permission.RUNTIME_READ),
    ),
    "Deployments.Redeploy": unary(
        redeploy, request=wire.RedeployRequest, response=wire.RedeployResponse, scope=needs(Permission.RUNTIME_DEPLOY)
    ),
    "Variables.List": unary(
        list_variables,
        request=wire.ListVariablesRequest,
        response=wire.ListVariablesResponse,
        scope=needs(Permission.VARIABLES_READ),
    ),
    "Variables.Set": unary(
        set_variables,
        request=wire.SetVariablesRequest,
        response=wire.SetVariablesResponse,
        scope=needs(Permission.RUNTIME_DEPLOY),
    ),
}
