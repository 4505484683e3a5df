"""Pages of a namespace's services: translate in, one call, translate out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse

from micro.errors import Error, FailedPrecondition, NotFound
from tenants.access.permissions import Permission
from tenants.pages import Here, form_page, namespace_page
from transport.events import Event, event_stream
from transport.tenancy import in_public

from . import forms, logs, operations, statuses, steps, turns, watching
from .backends import choice
from .logs import Line
from .models import Deployment, Service
from .operations import DEFAULT_VERSION
from .origins import Origins

DEPLOYMENTS_SHOWN = 10
LINES_STREAMED = 1000
LINES_OF_A_PAGE = 2000


@namespace_page(Permission.RUNTIME_READ)
def services(request: HttpRequest, here: Here) -> HttpResponse:
    """All services and how they are."""
    reports = statuses.read(namespace=here.namespace)
    return render(request, "runtime/services.html", {"reports": reports, "tab": "services"})


@namespace_page(Permission.RUNTIME_DEPLOY, "GET", "POST")
def deploy(request: HttpRequest, here: Here) -> HttpResponse:
    """The form that brings a repository to running."""
    form = forms.Deploy(request.POST or None, namespace=here.namespace.slug, initial=request.GET.dict())
    if request.method == "POST":
        queued = form.carry_out(
            lambda data: operations.deploy(
                namespace=here.namespace,
                name=data["name"],
                version=DEFAULT_VERSION,
                order=form.order(),
                by=here.account,
            )
        )
        if queued:
            return _to_deployment(here, queued)
    context = {"form": form, "tab": "deploy", "builds_images": choice.chosen() == choice.DOCKER}
    return form_page(request, "runtime/deploy.html", context, form)


@namespace_page(Permission.RUNTIME_DEPLOY)
def check_source(request: HttpRequest, here: Here) -> HttpResponse:
    """Whether a repository can be named so: a fragment, asked for while it is typed. Nothing is looked up."""
    text, problem, name = request.GET.get("repository", "").strip(), "", ""
    try:
        name = forms.source(text).name if text else ""
    except Error as error:
        problem = error.detail
    return render(request, "runtime/_source.html", {"name": name, "problem": problem})


@namespace_page(Permission.RUNTIME_READ)
def deployment(request: HttpRequest, here: Here, id: UUID) -> HttpResponse:
    """One deployment as it goes on."""
    row = operations.find_deployment(namespace=here.namespace, deployment_id=id)
    return render(request, "runtime/deployment.html", {**_progress(row), "tab": "services"})


@namespace_page(Permission.LOGS_READ)
def deployment_log(request: HttpRequest, here: Here, id: UUID) -> HttpResponse:
    """A deployment's log as plain text."""
    row = operations.find_deployment(namespace=here.namespace, deployment_id=id)
    return _text(row.service, "build", row)


@namespace_page(Permission.LOGS_READ)
def deployment_stream(request: HttpRequest, here: Here, id: UUID) -> StreamingHttpResponse:
    """A deployment's log and steps as they come."""
    row = operations.find_deployment(namespace=here.namespace, deployment_id=id)
    return event_stream(_watch(row, here), id=request.path, reader=here.account)


@namespace_page(Permission.RUNTIME_DEPLOY, "POST")
def redeploy(request: HttpRequest, here: Here, id: UUID) -> HttpResponse:
    """Deploy anew what a deployment deployed."""
    return _to_deployment(here, operations.redeploy(namespace=here.namespace, deployment_id=id, by=here.account))


@namespace_page(Permission.RUNTIME_DEPLOY, "POST")
def cancel(request: HttpRequest, here: Here, id: UUID) -> HttpResponse:
    """End a deployment that is under way."""
    try:
        row = operations.cancel(namespace=here.namespace, deployment_id=id, by=here.account)
    except FailedPrecondition as error:  # it ended while the page was looked at
        messages.error(request, error.detail)
        return redirect("deployment", namespace=here.namespace.slug, id=id)
    return _to_deployment(here, row)


@namespace_page(Permission.VARIABLES_READ)
def service(request: HttpRequest, here: Here, name: str) -> HttpResponse:
    """One service: how it is, its deployments, log and variables."""
    report = _report(request, here, name)
    form = forms.Variables(deployment=report.deployment)
    return _service_page(request, here, report, form)


@namespace_page(Permission.LOGS_READ)
def service_log(request: HttpRequest, here: Here, name: str) -> HttpResponse:
    """A service's log as plain text."""
    return _text(_report(request, here, name).service, "run", None)


@namespace_page(Permission.LOGS_READ)
def service_stream(request: HttpRequest, here: Here, name: str) -> StreamingHttpResponse:
    """A service's log as it comes."""
    return event_stream(_follow(_report(request, here, name).service), id=request.path, reader=here.account)


@namespace_page(Permission.RUNTIME_DEPLOY, "POST")
def set_variables(request: HttpRequest, here: Here, name: str) -> HttpResponse:
    """Change a service's environment variables, which deploys it anew."""
    report = _report(request, here, name)
    form = forms.Variables(request.POST, deployment=report.deployment)
    queued = form.carry_out(
        lambda _: operations.set_variables(
            namespace=here.namespace,
            name=name,
            version=report.service.version,
            changes=form.changes(),
            by=here.account,
        )
    )
    return _to_deployment(here, queued) if queued else _service_page(request, here, report, form)


@namespace_page(Permission.RUNTIME_DEPLOY, "POST")
def delete(request: HttpRequest, here: Here, name: str) -> HttpResponse:
    """Delete a service, when its name was typed."""
    service = _report(request, here, name).service
    if request.POST.get("name", "").strip() != service.name:
        messages.error(request, f"Nothing was deleted: type {service.name} to delete it.")
        return redirect(service_url(service))
    operations.delete(namespace=here.namespace, name=service.name, version=service.version, by=here.account)
    messages.success(request, f"{service} is deleted.")
    return redirect("services", namespace=here.namespace.slug)


def service_url(service: Service, page: str = "service") -> str:
    """The address of a page of a service; the version is in it when it is not the default one."""
    url = reverse(page, kwargs={"namespace": service.namespace.slug, "name": service.name})
    return url if service.version == DEFAULT_VERSION else f"{url}?{urlencode({'version': service.version})}"


def _report(request: HttpRequest, here: Here, name: str) -> statuses.Report:
    version = request.GET.get("version") or DEFAULT_VERSION
    return statuses.read_one(namespace=here.namespace, name=name, version=version)


def _service_page(request: HttpRequest, here: Here, report: statuses.Report, form: forms.Variables) -> HttpResponse:
    service = report.service
    context = {
        "report": report,
        "service": service,
        "deployments": service.deployments.select_related("release").order_by("-created_at")[:DEPLOYMENTS_SHOWN],
        "form": form,
        "tab": "services",
    }
    return form_page(request, "runtime/service.html", context, form)


def _to_deployment(here: Here, deployment: Deployment) -> HttpResponse:
    return redirect("deployment", namespace=here.namespace.slug, id=deployment.pk)


def _progress(row: Deployment) -> dict[str, Any]:
    """What the page of a deployment shows, and what is sent again at each step."""
    return {
        "deployment": row,
        "state": row.state,
        "reason": turns.Queue().reason(row),
        "is_final": row.state in Deployment.FINAL,
        "steps": steps.of(row.state, has_release=getattr(row, "release", None) is not None),
        "address": statuses.address(row.service),
    }


async def _watch(row: Deployment, here: Here) -> AsyncGenerator[Event, None]:
    watched = watching.Watched(row.pk, here.namespace.slug, row.service_id, row.created_at)
    yield Event("begin", {})
    async with aclosing(watching.watch(watched, count=LINES_STREAMED, follow=True)) as items:
        async for item in items:
            if isinstance(item, Line):
                yield Event("line", item.document())
            else:
                yield Event("steps", {"html": await _steps(row, here)})
    yield Event("end", {})


async def _steps(row: Deployment, here: Here) -> str:
    """The steps as they are now; as they were when the service is gone in the meantime."""
    with contextlib.suppress(NotFound):
        row = await in_public(operations.find_deployment, namespace=here.namespace, deployment_id=row.pk)
    return render_to_string("runtime/_progress.html", _progress(row))


async def _follow(service: Service) -> AsyncGenerator[Event, None]:
    yield Event("begin", {})
    slug = service.namespace.slug
    lines = logs.read(namespace=slug, service_id=service.pk, kind="run", count=LINES_STREAMED, follow=True)
    origins = Origins(service)
    async with aclosing(lines):
        async for line in lines:
            yield Event("line", await origins.document(line))


def _text(service: Service, kind: str, deployment: Deployment | None) -> HttpResponse:
    async def read() -> list[str]:
        lines = logs.read(
            namespace=service.namespace.slug,
            service_id=service.pk,
            kind=kind,
            count=LINES_OF_A_PAGE,
            since=deployment.created_at if deployment else None,
            of=deployment.pk if deployment else None,
        )
        return [f"{line.at:%Y-%m-%d %H:%M:%S}  {logs.plain(line.text)}\n" async for line in lines]

    return HttpResponse(async_to_sync(read)(), content_type="text/plain; charset=utf-8")
