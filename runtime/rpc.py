"""The runtime on the wire: translate in, one call, translate out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from micro.errors import InvalidArgument, NotFound, Unimplemented
from micro.proto import runtime_pb2 as wire
from tenants import names
from tenants.access.actors import needs
from tenants.access.permissions import Permission
from tenants.models import Namespace
from transport.callers import Account, authorize, require_account
from transport.methods import Caller, client_stream, server_stream, unary
from transport.tenancy import in_public

from . import logs, operations, statuses
from .models import Service
from .operations import DEFAULT_VERSION, Order
from .origins import Origins
from .sources.uploads import Incoming

DEFAULT_LINES = 15
KIND = "service"  # the type of all that runs here


async def create(request: wire.CreateRequest, caller: Caller) -> wire.CreateResponse:
    """Deploy a service; one that is there already is deployed anew."""
    service, options = _service(request.resource), request.options
    order = _order(service, options)
    await in_public(_deploy, authorize(caller, options.namespace), service, order, require_account(caller))
    return wire.CreateResponse()


async def update(request: wire.UpdateRequest, caller: Caller) -> wire.UpdateResponse:
    """Deploy a service that is there already."""
    service, options = _service(request.resource), request.options
    order = Order(
        source=service.source,
        folder=options.entrypoint,
        shown_source=service.metadata.get("source", ""),
        instances=options.instances,
        grants=list(options.grants) or None,
    )
    await in_public(_update, authorize(caller, options.namespace), service, order, require_account(caller))
    return wire.UpdateResponse()


async def delete(request: wire.DeleteRequest, caller: Caller) -> wire.DeleteResponse:
    """Kill a service."""
    service = _service(request.resource)
    await in_public(_delete, authorize(caller, request.options.namespace), service, require_account(caller))
    return wire.DeleteResponse()


async def cancel(request: wire.CancelRequest, caller: Caller) -> wire.CancelResponse:
    """End a service's deployment that is under way."""
    service = _service(request.resource)
    await in_public(_cancel, authorize(caller, request.options.namespace), service, require_account(caller))
    return wire.CancelResponse()


async def read(request: wire.ReadRequest, caller: Caller) -> wire.ReadResponse:
    """The services of a namespace and how they are."""
    options = request.options
    namespace = authorize(caller, options.namespace)
    if options.type not in ("", KIND):
        return wire.ReadResponse()
    reports = await in_public(_read, namespace, options.service, options.version)
    return wire.ReadResponse(services=[_shown(report) for report in reports])


async def read_logs(request: wire.LogsRequest, caller: Caller) -> AsyncIterator[wire.LogRecord]:
    """The last lines of a log, and with `stream` each new one until the caller leaves."""
    kind = request.kind or "run"
    if kind not in logs.KINDS:
        raise InvalidArgument(f"The kind of log is run or build, not {kind[:40]!r}.")
    namespace = authorize(caller, request.options.namespace)
    service, deployed_at = await in_public(_find, namespace, request.service, request.version or DEFAULT_VERSION)
    since = datetime.fromtimestamp(request.since, UTC) if request.since else None
    if kind == "build":  # of the last deployment
        since = max(since or deployed_at, deployed_at)
    lines = logs.read(
        namespace=namespace,
        service_id=service.pk,
        kind=kind,
        count=request.count or DEFAULT_LINES,
        since=since,
        follow=request.stream,
    )
    origins = Origins(service)
    async for line in lines:
        milliseconds = int(line.at.timestamp() * 1000)
        yield wire.LogRecord(
            timestamp=milliseconds // 1000,
            milliseconds=milliseconds % 1000,
            message=line.text,
            metadata=await origins.of(line),
        )


async def upload(requests: AsyncIterator[wire.UploadRequest], caller: Caller) -> wire.UploadResponse:
    """Store an archive; its id is a source for Create and Update."""
    account = require_account(caller)
    name = version = ""
    with Incoming(account.issuer) as archive:
        async for request in requests:
            name, version = name or request.service.name, version or request.service.version
            await in_public(archive.write, request.data)
        if not name:
            raise InvalidArgument("No service was sent")
        return wire.UploadResponse(id=await in_public(_keep, archive, account, name, version or DEFAULT_VERSION))


async def read_build(request: wire.Service, caller: Caller) -> AsyncIterator[wire.BuildReadResponse]:
    """Builds are environments of this machine, no single file that could be read."""
    raise Unimplemented("Builds cannot be downloaded: they are environments of the server, no single file.")
    yield wire.BuildReadResponse()


def _service(resource: wire.Resource) -> wire.Service:
    """The service that a request is about; the version in it is never blank."""
    if resource.HasField("service"):
        service = resource.service
        service.version = service.version or DEFAULT_VERSION
        return service
    if not resource.ListFields():
        raise InvalidArgument("blank resource")
    raise Unimplemented("Namespaces, network policies and resource quotas are not made by the runtime here.")


def _order(service: wire.Service, options: wire.CreateOptions) -> Order:
    if options.volumes:
        raise Unimplemented("Volumes of a service are not supported.")
    pairs = (text.partition("=") for text in options.env)
    secrets = dict(options.secrets)
    git_token = secrets.pop("GIT_CREDENTIALS", "")
    return Order(
        source=service.source,
        folder=options.entrypoint,
        shown_source=service.metadata.get("source", ""),
        command=[*options.command, *options.args],
        env={name: value for name, _, value in pairs},
        secrets=secrets,
        instances=options.instances,
        metadata={name: value for name, value in service.metadata.items() if name != "source"},
        git_token=git_token,
        grants=list(options.grants) or None,
    )


def _shown(report: statuses.Report) -> wire.Service:
    service = report.service
    return wire.Service(
        name=service.name,
        version=service.version,
        source=service.source,
        metadata=report.metadata,
        status=report.status,
    )


def _deploy(namespace: str, service: wire.Service, order: Order, by: Account) -> None:
    operations.deploy(namespace=_namespace(namespace), name=service.name, version=service.version, order=order, by=by)


def _update(namespace: str, service: wire.Service, order: Order, by: Account) -> None:
    operations.update(namespace=_namespace(namespace), name=service.name, version=service.version, order=order, by=by)


def _delete(namespace: str, service: wire.Service, by: Account) -> None:
    operations.delete(namespace=_namespace(namespace), name=service.name, version=service.version, by=by)


def _cancel(namespace: str, service: wire.Service, by: Account) -> None:
    operations.cancel_last(namespace=_namespace(namespace), name=service.name, version=service.version, by=by)


def _read(namespace: str, name: str, version: str) -> list[statuses.Report]:
    return statuses.read(namespace=_namespace(namespace), name=name, version=version)


def _find(namespace: str, name: str, version: str) -> tuple[Service, datetime]:
    """The service, and when it was last deployed."""
    service = operations.find(namespace=_namespace(namespace), name=name, version=version)
    last = service.deployments.last()
    return service, last.created_at if last else service.created_at


def _keep(archive: Incoming, account: Account, name: str, version: str) -> str:
    names.validate_service(name, namespace=account.issuer)
    operations.require_version(version)
    return archive.keep(namespace=_namespace(account.issuer), name=name, version=version)


def _namespace(slug: str) -> Namespace:
    namespace: Namespace | None = Namespace.objects.filter(slug=slug).first()
    if namespace is None:
        raise NotFound(f"Namespace {slug!r} does not exist.")
    return namespace


METHODS = {
    "Runtime.Create": unary(
        create, request=wire.CreateRequest, response=wire.CreateResponse, scope=needs(Permission.RUNTIME_DEPLOY)
    ),
    "Runtime.Read": unary(
        read, request=wire.ReadRequest, response=wire.ReadResponse, scope=needs(Permission.RUNTIME_READ)
    ),
    "Runtime.Update": unary(
        update, request=wire.UpdateRequest, response=wire.UpdateResponse, scope=needs(Permission.RUNTIME_DEPLOY)
    ),
    "Runtime.Delete": unary(
        delete, request=wire.DeleteRequest, response=wire.DeleteResponse, scope=needs(Permission.RUNTIME_DEPLOY)
    ),
    "Runtime.Cancel": unary(
        cancel, request=wire.CancelRequest, response=wire.CancelResponse, scope=needs(Permission.RUNTIME_DEPLOY)
    ),
    "Runtime.Logs": server_stream(
        read_logs, request=wire.LogsRequest, response=wire.LogRecord, scope=needs(Permission.LOGS_READ)
    ),
    "Source.Upload": client_stream(
        upload, request=wire.UploadRequest, response=wire.UploadResponse, scope=needs(Permission.RUNTIME_DEPLOY)
    ),
    "Build.Read": server_stream(
        read_build, request=wire.Service, response=wire.BuildReadResponse, scope=needs(Permission.LOGS_READ)
    ),
}
