"""The runtime over REST: translate in, one call, translate out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import ClassVar
from uuid import UUID

from django.core.validators import RegexValidator
from django.http import StreamingHttpResponse
from django.urls import path, re_path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from micro.errors import FailedPrecondition, ResourceExhausted
from tenants.access.actors import enter, needs
from tenants.access.grants import MOST
from tenants.access.permissions import Permission
from transport.callers import ANY_ACCOUNT, Scope
from transport.events import Event, event_stream
from transport.rest import Endpoint, EventDocument, Input, Number, Text, account, describe, following, listed, parse

from . import logs, operations, statuses, turns, watching
from .documents import DeploymentDocument, ServiceDocument, deployment_document, deployment_url, service_document
from .logs import Line
from .models import Deployment, Service
from .operations import DEFAULT_VERSION, MOST_INSTANCES, Order
from .origins import Origins
from .sources import tokens
from .watching import Step, Watched

MOST_ROWS = 100
MOST_LINES = 5000
SLUG = RegexValidator(r"^[a-z0-9-]+\Z", "This is no name of a namespace.")
NAME = RegexValidator(r"^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\Z", "This is no name of a service.")
VERSION = RegexValidator(r"^[A-Za-z0-9_@][A-Za-z0-9_./+#=@-]*\Z", "This is no version.")


class Where(Input):
    """Which namespace."""

    namespace = Text(default="", allow_blank=True, validators=[SLUG], help_text="The token's own when it is left out.")


class Which(Where):
    """Which version of a service."""

    version = Text(default=DEFAULT_VERSION, max_length=200, validators=[VERSION])


class Listing(Where):
    """Which deployments."""

    service = Text(required=False, max_length=63, validators=[NAME], help_text="Only those of services of this name.")
    state = serializers.ChoiceField(choices=Deployment.State.choices, required=False, help_text="Only those in it.")
    is_replaced = serializers.BooleanField(
        required=False, help_text="Only those that went live and were replaced since, or only others."
    )
    after = serializers.UUIDField(required=False, help_text="Only those older than this deployment.")
    limit = serializers.IntegerField(default=50, min_value=1, max_value=MOST_ROWS)


class LogQuery(Where):
    """Which part of a log."""

    lines = serializers.IntegerField(
        default=100, min_value=0, max_value=MOST_LINES, help_text="How many to begin with."
    )
    follow = serializers.BooleanField(default=False, help_text="Go on with each new line.")


class ServiceLogQuery(LogQuery, Which):
    """Which log of a service."""

    kind = serializers.ChoiceField(choices=logs.KINDS, default="run")


class Changes(Input):
    """What a deployment of a service that is there shall change; what is left out stays."""

    source = Text(
        required=False, max_length=2000, help_text="host/path/repo.git[/folder][@ref] or source://name:version"
    )
    command = serializers.ListField(child=Text(), required=False, max_length=100, help_text="Not the detected one.")
    env = serializers.DictField(
        child=Text(allow_blank=True), required=False, help_text="Variables by name; those it has otherwise stay."
    )
    secrets = serializers.DictField(
        child=Text(allow_blank=True), required=False, help_text="Further variables, never to be shown again."
    )
    git_token = Text(
        required=False, max_length=tokens.LONGEST, help_text="Opens a private repository; never to be shown again."
    )
    instances = Number(required=False, min_value=1, max_value=MOST_INSTANCES)
    grants = serializers.ListField(
        child=Text(max_length=60),
        required=False,
        max_length=MOST,
        help_text="What it may do beyond a service's own, such as store.read. An empty list takes away what it has.",
    )


class NewDeployment(Changes):
    """What shall run. The service is made when there is none of that name and version."""

    service = Text(max_length=63, validators=[NAME])
    version = Text(default=DEFAULT_VERSION, max_length=200, validators=[VERSION])
    source = Text(max_length=2000, help_text="host/path/repo.git[/folder][@ref] or source://name:version")


class Services(Endpoint):
    """/v1/services."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe("list_services", needs(Permission.RUNTIME_READ), query=Where, answer=listed(ServiceDocument))
    def get(self, request: Request) -> Response:
        """The services of a namespace, by name and version."""
        query = parse(Where, request.query_params)
        reports = statuses.read(namespace=enter(account(request), query["namespace"], Permission.RUNTIME_READ))
        return Response({"items": [service_document(report, request) for report in reports], "next": None})


class OneService(Endpoint):
    """/v1/services/{name}."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe("read_service", needs(Permission.RUNTIME_READ), query=Which, answer=ServiceDocument)
    def get(self, request: Request, name: str) -> Response:
        """A service, its replicas, and what is wrong with it, if anything is."""
        query = parse(Which, request.query_params)
        namespace = enter(account(request), query["namespace"], Permission.RUNTIME_READ)
        report = statuses.read_one(namespace=namespace, name=name, version=query["version"])
        return Response(service_document(report, request))

    @describe("delete_service", needs(Permission.RUNTIME_DEPLOY), query=Which, status=204)
    def delete(self, request: Request, name: str) -> Response:
        """Kill a service. It is out of the registry at once and its processes stop."""
        query = parse(Which, request.query_params)
        by = account(request)
        namespace = enter(by, query["namespace"], Permission.RUNTIME_DEPLOY)
        operations.delete(namespace=namespace, name=name, version=query["version"], by=by)
        return Response(status=204)


class ServiceDeployments(Endpoint):
    """/v1/services/{name}/deployments."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe(
        "update_service",
        needs(Permission.RUNTIME_DEPLOY),
        query=Which,
        body=Changes,
        answer=DeploymentDocument,
        status=202,
        errors=[ResourceExhausted],
    )
    def post(self, request: Request, name: str) -> Response:
        """Deploy a service that is there again, with changes if there are any."""
        query, changes = parse(Which, request.query_params), parse(Changes, request.data)
        by = account(request)
        namespace = enter(by, query["namespace"], Permission.RUNTIME_DEPLOY)
        order = Order(**{"source": "", **changes})
        deployment = operations.update(namespace=namespace, name=name, version=query["version"], order=order, by=by)
        return _accepted(deployment, request)


class ServiceLogs(Endpoint):
    """/v1/services/{name}/logs."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT
    http_method_names: tuple[str, ...] = ("get",)  # the head of a stream would be followed by the stream

    @describe(
        "read_service_logs",
        needs(Permission.LOGS_READ),
        query=ServiceLogQuery,
        answer=EventDocument,
        errors=[ResourceExhausted],
    )
    def get(self, request: Request, name: str) -> StreamingHttpResponse:
        """What a service prints or its builds print: server-sent events `line` with `at` and `text`, at last an `end`.

        What it prints has the `release` (its number, while it is known) and the `replica` that printed it, too. With
        `follow` it goes on until you leave. An event `problem` says what went wrong on the way.
        """
        query = parse(ServiceLogQuery, request.query_params)
        namespace = enter(account(request), query["namespace"], Permission.LOGS_READ)
        service = operations.find(namespace=namespace, name=name, version=query["version"])
        return event_stream(
            _lines(service, query["kind"], query["lines"], query["follow"]), id=request.path, reader=account(request)
        )


class Deployments(Endpoint):
    """/v1/deployments."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe("list_deployments", needs(Permission.RUNTIME_READ), query=Listing, answer=listed(DeploymentDocument))
    def get(self, request: Request) -> Response:
        """The deployments of a namespace, newest first. `next` has the page after this one."""
        query = parse(Listing, request.query_params)
        namespace = enter(account(request), query.pop("namespace"), Permission.RUNTIME_READ)
        found = operations.list_deployments(namespace=namespace, **query)
        is_more = len(found) == query["limit"]
        queue = turns.Queue()
        items = [deployment_document(row, request, queue) for row in found]
        return Response({"items": items, "next": following(request, found[-1].pk) if is_more else None})

    @describe(
        "deploy",
        needs(Permission.RUNTIME_DEPLOY),
        query=Where,
        body=NewDeployment,
        answer=DeploymentDocument,
        status=202,
        errors=[ResourceExhausted],
    )
    def post(self, request: Request) -> Response:
        """Bring a source to running. The answer comes at once; watch the deployment at its `url` or `logs_url`."""
        query, order = parse(Where, request.query_params), parse(NewDeployment, request.data)
        by = account(request)
        namespace = enter(by, query["namespace"], Permission.RUNTIME_DEPLOY)
        name, version = order.pop("service"), order.pop("version")
        deployment = operations.deploy(namespace=namespace, name=name, version=version, order=Order(**order), by=by)
        return _accepted(deployment, request)


class OneDeployment(Endpoint):
    """/v1/deployments/{id}."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe("read_deployment", needs(Permission.RUNTIME_READ), query=Where, answer=DeploymentDocument)
    def get(self, request: Request, id: UUID) -> Response:
        """A deployment: how far it is, or how it ended and why."""
        query = parse(Where, request.query_params)
        namespace = enter(account(request), query["namespace"], Permission.RUNTIME_READ)
        return Response(deployment_document(operations.find_deployment(namespace=namespace, deployment_id=id), request))


class DeploymentRetry(Endpoint):
    """/v1/deployments/{id}/retry."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe(
        "retry_deployment",
        needs(Permission.RUNTIME_DEPLOY),
        query=Where,
        answer=DeploymentDocument,
        status=202,
        errors=[ResourceExhausted],
    )
    def post(self, request: Request, id: UUID) -> Response:
        """Deploy anew what this deployment deployed: its source, command, environment and instances."""
        query = parse(Where, request.query_params)
        by = account(request)
        namespace = enter(by, query["namespace"], Permission.RUNTIME_DEPLOY)
        deployment = operations.redeploy(namespace=namespace, deployment_id=id, by=by)
        return _accepted(deployment, request)


class DeploymentCancel(Endpoint):
    """/v1/deployments/{id}/cancel."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe(
        "cancel_deployment",
        needs(Permission.RUNTIME_DEPLOY),
        query=Where,
        answer=DeploymentDocument,
        errors=[FailedPrecondition],
    )
    def post(self, request: Request, id: UUID) -> Response:
        """End a deployment that is under way. Its build stops within seconds; what ran before goes on running."""
        query = parse(Where, request.query_params)
        by = account(request)
        namespace = enter(by, query["namespace"], Permission.RUNTIME_DEPLOY)
        deployment = operations.cancel(namespace=namespace, deployment_id=id, by=by)
        return Response(deployment_document(deployment, request))


class DeploymentLogs(Endpoint):
    """/v1/deployments/{id}/logs."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT
    http_method_names: tuple[str, ...] = ("get",)

    @describe(
        "read_deployment_logs",
        needs(Permission.LOGS_READ),
        query=LogQuery,
        answer=EventDocument,
        errors=[ResourceExhausted],
    )
    def get(self, request: Request, id: UUID) -> StreamingHttpResponse:
        """A deployment as it goes on: server-sent events `step` (`state`, `reason`) and `line` (`at`, `text`).

        With `follow` until it has ended; the last event is an `end`, or a `problem` that says what went wrong.
        """
        query = parse(LogQuery, request.query_params)
        namespace = enter(account(request), query["namespace"], Permission.LOGS_READ)
        deployment = operations.find_deployment(namespace=namespace, deployment_id=id)
        return event_stream(
            _progress(deployment, query["lines"], query["follow"]), id=request.path, reader=account(request)
        )


def _accepted(deployment: Deployment, request: Request) -> Response:
    url = deployment_url(deployment, request)
    return Response(deployment_document(deployment, request), status=202, headers={"Location": url})


async def _lines(service: Service, kind: str, count: int, follow: bool) -> AsyncGenerator[Event, None]:
    slug = service.namespace.slug
    lines = logs.read(namespace=slug, service_id=service.pk, kind=kind, count=count, follow=follow)
    origins = Origins(service)
    async with aclosing(lines):
        async for line in lines:
            yield Event("line", await origins.document(line))
    yield Event("end", {})


async def _progress(deployment: Deployment, count: int, follow: bool) -> AsyncGenerator[Event, None]:
    slug = deployment.service.namespace.slug
    watched = Watched(deployment.pk, slug, deployment.service_id, deployment.created_at)
    async with aclosing(watching.watch(watched, count=count, follow=follow)) as items:
        async for item in items:
            yield Event("line", item.document()) if isinstance(item, Line) else _step(item)
    yield Event("end", {})


def _step(step: Step) -> Event:
    return Event("step", {"state": step.state, "reason": step.reason})


_SERVICE = r"^services/(?P<name>[a-z0-9.-]{1,63})"

urlpatterns = [
    path("services", Services.as_view(), name="api-services"),
    re_path(rf"{_SERVICE}\Z", OneService.as_view(), name="api-service"),
    re_path(rf"{_SERVICE}/deployments\Z", ServiceDeployments.as_view(), name="api-service-deployments"),
    re_path(rf"{_SERVICE}/logs\Z", ServiceLogs.as_view(), name="api-service-logs"),
    path("deployments", Deployments.as_view(), name="api-deployments"),
    path("deployments/<uuid:id>", OneDeployment.as_view(), name="api-deployment"),
    path("deployments/<uuid:id>/retry", DeploymentRetry.as_view(), name="api-deployment-retry"),
    path("deployments/<uuid:id>/cancel", DeploymentCancel.as_view(), name="api-deployment-cancel"),
    path("deployments/<uuid:id>/logs", DeploymentLogs.as_view(), name="api-deployment-logs"),
]
