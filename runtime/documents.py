"""What REST shows of services and deployments: the fields, for the API's description, and how they are filled."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from rest_framework import serializers
from rest_framework.request import Request

from . import statuses, turns
from .models import Deployment, Replica, Service
from .operations import DEFAULT_VERSION

STATUSES = [status.name.lower() for status in statuses.Status]


class DeploymentDocument(serializers.Serializer):
    """One attempt to bring a source to running."""

    id = serializers.UUIDField()
    url = serializers.URLField()
    logs_url = serializers.URLField(help_text="Its steps and its build's log, as server-sent events.")
    service = serializers.CharField()
    version = serializers.CharField()
    state = serializers.ChoiceField(choices=Deployment.State.choices)
    is_replaced = serializers.BooleanField(help_text="It went live, and a later one has taken its place since.")
    reason = serializers.CharField(
        allow_blank=True, help_text="Why it waits or failed, or who cancelled it, else blank."
    )
    source = serializers.CharField()
    digest = serializers.CharField(allow_blank=True, help_text="What was built: git:<commit> or sha256:<archive>.")
    release = serializers.IntegerField(allow_null=True, help_text="The number of the release that it made.")
    instances = serializers.IntegerField()
    grants = serializers.ListField(child=serializers.CharField(), help_text="What it may do beyond a service's own.")
    env_names = serializers.ListField(child=serializers.CharField(), help_text="Values are never shown.")
    by = serializers.CharField(allow_blank=True, help_text="Who asked for it.")
    address = serializers.CharField(allow_blank=True, help_text="Where the service answers; blank for dotted names.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class ReplicaDocument(serializers.Serializer):
    """One process of a service."""

    index = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Replica.State.choices)
    is_wanted = serializers.BooleanField()
    crashes = serializers.IntegerField()
    reason = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class ServiceDocument(serializers.Serializer):
    """A service as it is now."""

    name = serializers.CharField()
    version = serializers.CharField()
    url = serializers.URLField()
    logs_url = serializers.URLField(help_text="What it prints, as server-sent events.")
    deployment_url = serializers.URLField(allow_null=True, help_text="Its last deployment.")
    status = serializers.ChoiceField(choices=STATUSES)
    step = serializers.CharField(allow_blank=True, help_text="What a deployment under way is doing.")
    error = serializers.CharField(allow_blank=True, help_text="What is wrong, else blank.")
    address = serializers.CharField(allow_blank=True, help_text="Where it answers; blank for dotted names.")
    source = serializers.CharField(allow_blank=True)
    owner = serializers.CharField(allow_blank=True)
    grants = serializers.ListField(child=serializers.CharField(), help_text="What it may do beyond a service's own.")
    release = serializers.IntegerField(allow_null=True, help_text="The number of the release that serves.")
    replicas = ReplicaDocument(many=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


def deployment_document(row: Deployment, request: Request, queue: turns.Queue | None = None) -> dict[str, Any]:
    """The fields of a DeploymentDocument. The row comes with its service, namespace and release, rows with a queue."""
    release = getattr(row, "release", None)
    return {
        "id": row.pk,
        "url": deployment_url(row, request),
        "logs_url": _url(request, "api-deployment-logs", row.service, id=row.pk),
        "service": row.service.name,
        "version": row.service.version,
        "state": row.state,
        "is_replaced": row.is_replaced,
        "reason": (queue or turns.Queue()).reason(row),
        "source": row.source,
        "digest": release.digest if release else "",
        "release": release.number if release else None,
        "instances": row.instances,
        "grants": row.grants,
        "env_names": sorted({*row.env, *row.secrets}),
        "by": row.by,
        "address": statuses.address(row.service),
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def service_document(report: statuses.Report, request: Request) -> dict[str, Any]:
    """The fields of a ServiceDocument."""
    service, said = report.service, report.metadata
    return {
        "name": service.name,
        "version": service.version,
        "url": _url(request, "api-service", service, name=service.name),
        "logs_url": _url(request, "api-service-logs", service, name=service.name),
        "deployment_url": _url(request, "api-deployment", service, id=report.deployment.pk)
        if report.deployment
        else None,
        "status": report.status.name.lower(),
        "step": said.get("step", ""),
        "error": said.get("error", ""),
        "address": said.get("address", ""),
        "grants": report.deployment.grants if report.deployment else [],
        "source": service.source,
        "owner": service.owner,
        "release": service.release.number if service.release else None,
        "replicas": [_replica_document(replica) for replica in report.replicas],
        "created_at": service.created_at,
        "updated_at": service.updated_at,
    }


def deployment_url(row: Deployment, request: Request) -> str:
    """The address of a deployment."""
    return _url(request, "api-deployment", row.service, id=row.pk)


def _replica_document(replica: Replica) -> dict[str, Any]:
    return {name: getattr(replica, name) for name in ReplicaDocument().fields}


def _url(request: Request, view: str, service: Service, **parts: Any) -> str:
    """An address that works for the same caller, who may be in another namespace or mean another version."""
    query = {}
    if request.user.issuer != service.namespace.slug:
        query["namespace"] = service.namespace.slug
    if "name" in parts and service.version != DEFAULT_VERSION:
        query["version"] = service.version
    url: str = request.build_absolute_uri(reverse(view, kwargs=parts))
    return f"{url}?{urlencode(query)}" if query else url
