"""The state that Envoy's configuration is made from, as the database has it now."""

from __future__ import annotations

import json
import re
from importlib import metadata

from django.conf import settings

from primitives.auth import keys
from primitives.registry import records
from primitives.rules.records import books
from tenants import quotas
from tenants.models import Domain, Namespace
from tenants.names import is_origin

from .limits import Limits
from .state import Browsers, Doors, Protocol, Service, State, Version, merged

MOST_ORIGINS = 20
HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")


def doors() -> Doors:
    """Where Envoy listens."""
    network = settings.MICRO_NETWORK_ADDRESS
    containers = (settings.MICRO_DOCKER_DOOR, network[1]) if settings.MICRO_DOCKER_DOOR else None
    is_secure = settings.MICRO_TLS_CERT is not None
    return Doors(settings.MICRO_API_ADDRESS, settings.MICRO_PROXY_ADDRESS, network, containers, is_secure)


def sidecars() -> tuple[str, ...]:
    """The sockets of the sidecar's processes."""
    return tuple(str(settings.MICRO_RUN / f"sidecar-{index}.sock") for index in range(settings.MICRO_SIDECAR_PROCESSES))


def browsers() -> Browsers:
    """Whose pages may do what, and at which hosts."""
    return Browsers(settings.MICRO_ALLOWED_ORIGINS, settings.MICRO_OWN_HOSTS, settings.MICRO_DASHBOARD_HOSTS)


def made_for() -> str:
    """The settings that a configuration fits: one saved under others would open the wrong ports."""
    return json.dumps([repr(doors()), sidecars(), settings.MICRO_BASE_DOMAIN, repr(browsers())])


def read() -> State:
    """One picture of the platform. What is read after the revision can only be newer than it."""
    snapshot = records.snapshot()
    return State(
        revision=snapshot.revision,
        doors=doors(),
        base_domain=settings.MICRO_BASE_DOMAIN,
        jwks=json.dumps(keys.jwks(), sort_keys=True),
        sidecars=sidecars(),
        version=metadata.version("micro"),
        browsers=browsers(),
        namespaces=frozenset(Namespace.objects.values_list("slug", flat=True)),
        domains=_domains(),
        services=merged(_version(entry) for entry in snapshot.entries),
        books=books(),
        limits=Limits(settings.MICRO_SERVICE_REQUESTS, settings.MICRO_DEFAULT_REQUESTS, quotas.planned("requests")),
        interface_bytes=settings.MICRO_DEFAULT_INTERFACE_BYTES,
    )


def _domains() -> dict[str, str]:
    """Own hosts. What is not a host name could match more than its own, and is left out."""
    rows = Domain.objects.order_by("domain").values_list("domain", "tenant__slug")
    return {domain.lower(): slug for domain, slug in rows if HOST.fullmatch(domain.lower())}


def _version(entry: records.Entry) -> Version:
    endpoints = tuple((node.host, node.port) for node in entry.nodes)
    protocol: Protocol = "http" if entry.protocol == "http" else "grpc"
    origins = _origins(entry.nodes[-1].metadata.get("origins", "")) if entry.nodes else ()
    service = Service(entry.namespace, entry.service, protocol, endpoints, entry.descriptors, origins)
    return Version(service, entry.version)


def _origins(text: str) -> tuple[str, ...]:
    """The origins that the newest node of a service names; what no browser sends is left out."""
    named = text[:4096].lower().split()
    return tuple(dict.fromkeys(origin for origin in named if origin == "*" or is_origin(origin)))[:MOST_ORIGINS]
