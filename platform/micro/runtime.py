"""What runs on the platform: upload a source, deploy it, read how it goes, read its logs, remove it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .proto import runtime_pb2

if TYPE_CHECKING:
    from .client import Client, Replies

STATUSES = ("unknown", "pending", "building", "starting", "running", "stopping", "stopped", "error")
TIMEOUT_S = 30.0

Service = runtime_pb2.Service
Deployment = runtime_pb2.Deployment
Variable = runtime_pb2.Variable


def upload(service: Service, chunks: Iterable[bytes], *, client: Client | None = None) -> str:
    """Send the source of a service's name and version as a tar; the source id to deploy it by."""
    requests = (
        runtime_pb2.UploadRequest(service=None if number else service, data=chunk)
        for number, chunk in enumerate(chunks)
    )
    replies = _client(client).invoke_stream("runtime", "Source.Upload", requests, runtime_pb2.UploadResponse)
    return next(replies).id


def create(service: Service, options: runtime_pb2.CreateOptions, *, client: Client | None = None) -> None:
    """Deploy a service, or deploy it anew."""
    client = _client(client)
    options.namespace = options.namespace or client.namespace
    request = runtime_pb2.CreateRequest(resource=runtime_pb2.Resource(service=service), options=options)
    client.invoke("runtime", "Runtime.Create", request, runtime_pb2.CreateResponse, timeout_s=TIMEOUT_S)


def update(service: Service, *, instances: int = 0, grants: Sequence[str] = (), client: Client | None = None) -> None:
    """Deploy a newer source of a service that exists; zero instances leaves their number as it is, and no grants those
    that it has."""
    client = _client(client)
    options = runtime_pb2.UpdateOptions(namespace=client.namespace, instances=instances, grants=grants)
    request = runtime_pb2.UpdateRequest(resource=runtime_pb2.Resource(service=service), options=options)
    client.invoke("runtime", "Runtime.Update", request, runtime_pb2.UpdateResponse, timeout_s=TIMEOUT_S)


def delete(name: str, version: str = "latest", *, client: Client | None = None) -> None:
    """Stop and remove a service. Raises NotFound."""
    client = _client(client)
    resource = runtime_pb2.Resource(service=Service(name=name, version=version))
    options = runtime_pb2.DeleteOptions(namespace=client.namespace)
    request = runtime_pb2.DeleteRequest(resource=resource, options=options)
    client.invoke("runtime", "Runtime.Delete", request, runtime_pb2.DeleteResponse, timeout_s=TIMEOUT_S)


def cancel(name: str, version: str = "latest", *, client: Client | None = None) -> None:
    """End a service's deployment that is under way; what ran before goes on running.

    Raises NotFound, and FailedPrecondition when nothing is under way or its replicas serve already.
    """
    client = _client(client)
    resource = runtime_pb2.Resource(service=Service(name=name, version=version))
    options = runtime_pb2.CancelOptions(namespace=client.namespace)
    request = runtime_pb2.CancelRequest(resource=resource, options=options)
    client.invoke("runtime", "Runtime.Cancel", request, runtime_pb2.CancelResponse, timeout_s=TIMEOUT_S)


def read(name: str = "", version: str = "", kind: str = "", *, client: Client | None = None) -> list[Service]:
    """The namespace's services, sorted; those of a name, version and type where these are given."""
    client = _client(client)
    options = runtime_pb2.ReadOptions(service=name, version=version, type=kind, namespace=client.namespace)
    request = runtime_pb2.ReadRequest(options=options)
    found = client.invoke("runtime", "Runtime.Read", request, runtime_pb2.ReadResponse).services
    # The server's filters are prefixes.
    meant = (service for service in found if name in ("", service.name) and version in ("", service.version))
    return sorted(meant, key=lambda service: (service.name, service.version))


def logs(request: runtime_pb2.LogsRequest, *, client: Client | None = None) -> Replies[runtime_pb2.LogRecord]:
    """The last lines, and with `stream` every new one until the caller leaves or closes it."""
    client = _client(client)
    request.options.namespace = request.options.namespace or client.namespace
    return client.invoke_stream("runtime", "Runtime.Logs", [request], runtime_pb2.LogRecord)


def deployments(
    service: str = "",
    *,
    state: str = "",
    is_replaced: bool | None = None,
    limit: int = 0,
    client: Client | None = None,
) -> list[Deployment]:
    """The namespace's deployments, the newest first; those of a service and in a state where these are given.

    What went live stays in the state `live`: `is_replaced` tells what a later one has replaced from what serves.
    """
    client = _client(client)
    request = runtime_pb2.ListDeploymentsRequest(service=service, state=state, limit=limit)
    if is_replaced is not None:
        request.is_replaced = is_replaced
    request.options.namespace = client.namespace
    reply = client.invoke("runtime", "Deployments.List", request, runtime_pb2.ListDeploymentsResponse)
    return list(reply.deployments)


def deployment(id: str, *, client: Client | None = None) -> Deployment:
    """How far a deployment is, or how it ended. Raises NotFound."""
    client = _client(client)
    request = runtime_pb2.ReadDeploymentRequest(id=id, options={"namespace": client.namespace})
    return client.invoke("runtime", "Deployments.Read", request, runtime_pb2.ReadDeploymentResponse).deployment


def redeploy(*, id: str = "", service: str = "", version: str = "latest", client: Client | None = None) -> Deployment:
    """Deploy anew what the deployment `id` deployed, or a service's last one. Raises NotFound."""
    client = _client(client)
    request = runtime_pb2.RedeployRequest(id=id, service=service, version=version)
    request.options.namespace = client.namespace
    reply = client.invoke("runtime", "Deployments.Redeploy", request, runtime_pb2.RedeployResponse, timeout_s=TIMEOUT_S)
    return reply.deployment


def variables(service: str, version: str = "latest", *, client: Client | None = None) -> list[Variable]:
    """A service's environment variables; of secrets the names. Raises NotFound."""
    client = _client(client)
    request = runtime_pb2.ListVariablesRequest(service=service, version=version)
    request.options.namespace = client.namespace
    reply = client.invoke("runtime", "Variables.List", request, runtime_pb2.ListVariablesResponse)
    return list(reply.variables)


def set_variables(
    service: str,
    version: str = "latest",
    *,
    plain: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    removed: Iterable[str] = (),
    client: Client | None = None,
) -> Deployment:
    """Change environment variables, which deploys the service anew; those that are not named stay."""
    client = _client(client)
    request = runtime_pb2.SetVariablesRequest(
        service=service, version=version, plain=plain, secrets=secrets, removed=list(removed)
    )
    request.options.namespace = client.namespace
    reply = client.invoke("runtime", "Variables.Set", request, runtime_pb2.SetVariablesResponse, timeout_s=TIMEOUT_S)
    return reply.deployment


def status(service: Service) -> str:
    """A service's status as a word."""
    return STATUSES[service.status] if 0 <= service.status < len(STATUSES) else STATUSES[0]


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
