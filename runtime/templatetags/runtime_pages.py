"""How the pages say states and addresses."""

from __future__ import annotations

import shlex

from django import template

from runtime.models import Deployment, Service
from runtime.sources import ARCHIVE
from runtime.statuses import Status
from runtime.views import service_url
from tenants.templatetags.times import spoken

register = template.Library()

_KINDS = {
    Status.PENDING: "busy",
    Status.BUILDING: "busy",
    Status.STARTING: "busy",
    Status.STOPPING: "busy",
    Status.RUNNING: "good",
    Status.ERROR: "bad",
}


@register.filter
def word(status: Status) -> str:
    """A status in a word."""
    return status.name.lower()


@register.filter
def kind(status: Status) -> str:
    """The colour of a status."""
    return _KINDS.get(status, "")


@register.filter
def deployment_kind(told: str) -> str:
    """The colour of a deployment's state as it is told."""
    return {"live": "good", "failed": "bad", "replaced": "", "superseded": "", "cancelled": ""}.get(told, "busy")


@register.filter
def duration(deployment: Deployment) -> str:
    """How long a deployment took."""
    return spoken(deployment.created_at, deployment.finished_at) if deployment.finished_at else ""


@register.filter
def page_of(service: Service, page: str = "service") -> str:
    """The address of a page of a service."""
    return service_url(service, page)


@register.filter
def without_scheme(address: str) -> str:
    """An address as it is read out."""
    return address.partition("://")[2] or address


@register.filter
def source_name(deployment: Deployment) -> str:
    """What a deployment was made of, as people say it: a repository, or an upload (whose digest is its commit)."""
    return "an uploaded folder" if deployment.source.startswith(ARCHIVE) else without_scheme(deployment.source)


@register.filter
def shell_word(value: object) -> str:
    """As one word of a command line, whatever is in it."""
    return shlex.quote(str(value))


@register.filter
def commit(deployment: Deployment) -> str:
    """What was built, short: a commit, or the digest of an archive; blank when it did not come so far."""
    release = getattr(deployment, "release", None)
    return release.digest.partition(":")[2][:8] if release else ""
