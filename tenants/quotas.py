"""What a namespace may use: what its plan says, else its environment's plan, else the server's settings.

The caller counts, this file knows the limits. Code on an event loop asks `known`, a copy in memory; everybody else the
database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.db.models import Q

from micro.errors import ResourceExhausted
from transport import notifications
from transport.failures import AWAY
from transport.tenancy import in_public

from .models import Namespace, Plan

CHANNEL = "plans"  # NOTIFY when a plan, or who has which, has changed

# What each limit of a plan is while the plan leaves it open.
SETTINGS: Mapping[str, str] = {
    "replicas": "MICRO_DEFAULT_REPLICAS",
    "accounts": "MICRO_DEFAULT_ACCOUNTS",
    "rules": "MICRO_DEFAULT_RULES",
    "nodes": "MICRO_DEFAULT_NODES",
    "requests": "MICRO_DEFAULT_REQUESTS",
    "records": "MICRO_DEFAULT_RECORDS",
    "record_bytes": "MICRO_DEFAULT_RECORD_BYTES",
    "blob_bytes": "MICRO_DEFAULT_BLOB_BYTES",
    "config_bytes": "MICRO_DEFAULT_CONFIG_BYTES",
    "event_bytes": "MICRO_EVENTS_BYTES",
    "event_age": "MICRO_EVENTS_AGE",
    "groups": "MICRO_EVENTS_GROUPS",
    "consumers": "MICRO_EVENTS_CONSUMERS",
    "events_per_s": "MICRO_EVENTS_PER_SECOND",
    "dead_letters": "MICRO_EVENTS_DEAD_LETTERS",
    "messages_per_s": "MICRO_BROKER_PER_SECOND",
    "subscribers": "MICRO_BROKER_SUBSCRIBERS",
    "streams": "MICRO_DEFAULT_STREAMS",
    "builds": "MICRO_DEFAULT_BUILDS",
    "log_bytes": "MICRO_DEFAULT_LOG_BYTES",
    "upload_bytes": "MICRO_DEFAULT_UPLOAD_BYTES",
}
NOUNS = {"blob_bytes": "bytes of blobs"}

log = logging.getLogger(__name__)


def require(namespace: Namespace, **wanted: Callable[[], int]) -> None:
    """Let the namespace have so much of each limit in all, counted after the change, else raise ResourceExhausted.

    Locks the namespace's row until the caller's transaction ends, and only then counts: of changes at once, each sees
    what those before it took.
    """
    # NO KEY: whoever inserts rows that refer to the namespace holds a lock that a full one would wait for.
    Namespace.objects.select_for_update(no_key=True).get(pk=namespace.pk)
    for name, count in wanted.items():
        most, total = limit(namespace.slug, name), count()
        if total > most:
            noun = NOUNS.get(name, name)
            raise ResourceExhausted(f"Namespace {namespace.slug!r} may have {most} {noun}; this would make {total}.")


def limit(namespace: str, name: str) -> Any:
    """How much of a limit the namespace may use, as the database says now."""
    plan = Plan.objects.filter(_of(namespace)).values_list(name, flat=True).first()
    return getattr(settings, SETTINGS[name]) if plan is None else plan


def planned(name: str) -> dict[str, Any]:
    """A limit of those namespaces whose plan says what it is, as the database says now."""
    return {namespace: said[name] for namespace, said in _said().items() if name in said}


class Known:
    """The limits of all namespaces as they were a moment ago. Asking costs nothing and waits for nothing."""

    def __init__(self) -> None:
        self._said: dict[str, Mapping[str, Any]] = {}  # by namespace, where a plan says anything at all

    def limit(self, namespace: str, name: str) -> Any:
        """How much of a limit the namespace may use; before the first `load`, what the settings say."""
        said = self._said.get(namespace)
        found = said.get(name) if said else None
        return getattr(settings, SETTINGS[name]) if found is None else found

    async def load(self) -> None:
        """Read the plans as they are now."""
        self._said = await in_public(_said)

    async def follow(self, dsn: str) -> None:
        """Read them again after every change, until cancelled; while the database is away the last ones hold."""
        async for _ in notifications.changes(dsn, CHANNEL):
            try:
                await self.load()
            except AWAY as error:
                log.warning("the plans cannot be read, those of before hold: %s", str(error).strip())


known = Known()


def _of(namespace: str) -> Q:
    own = Namespace.objects.filter(slug=namespace)
    inherited = own.filter(plan=None).values("environment__plan")
    return Q(name__in=own.exclude(plan=None).values("plan")) | Q(name__in=inherited)


def _said() -> dict[str, Mapping[str, Any]]:
    plans = {plan["name"]: {name: plan[name] for name in SETTINGS if plan[name] is not None} for plan in _rows()}
    strict = [name for name, said in plans.items() if said]
    if not strict:
        return {}
    bound = Namespace.objects.filter(Q(plan__in=strict) | Q(plan=None, environment__plan__in=strict))
    rows = bound.values_list("slug", "plan_id", "environment__plan_id")
    return {slug: plans[own or inherited] for slug, own, inherited in rows}


def _rows() -> list[dict[str, Any]]:
    return list(Plan.objects.values("name", *SETTINGS))
