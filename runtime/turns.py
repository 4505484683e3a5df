"""Whose build is next: so many slots for each namespace, and among namespaces the one that has waited longest.

A build holds its slot for as long as its worker has not let go of it: one that was cancelled or superseded does so
until its programs are gone, else whoever deploys again and again would have as many workers as they like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Max, Min
from django.utils.timezone import now

from tenants import quotas
from tenants.models import Namespace

from .models import Deployment

NEVER = datetime.min.replace(tzinfo=UTC)
SOON = timedelta(seconds=2)  # a free worker takes a deployment within this time
_TURN_LOCK = 7_214_003  # the class of the advisory lock


@transaction.atomic
def take(*, at: datetime) -> Deployment | None:
    """Claim for one worker the deployment whose turn it is; None when none waits that may begin."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_TURN_LOCK])
    for namespace_id in _in_turn(at):
        waiting = Deployment.objects.across_namespaces().filter(namespace=namespace_id).claimable(at)
        for deployment_id in waiting.order_by("created_at").values_list("pk", flat=True)[:1]:
            if taken := Deployment.objects.across_namespaces().claim(deployment_id, at=at):
                return taken
    return None


class Queue:
    """Why deployments wait, as of a moment. Asks the database only of those that are queued, once for a namespace."""

    def __init__(self) -> None:
        self._at = now()
        self._full: dict[int, str] = {}  # what those of a namespace wait for, by namespace

    def why(self, deployment: Deployment) -> str:
        """Why a queued deployment has not begun; blank for one that is not queued, or came just now."""
        if deployment.state != Deployment.State.QUEUED:
            return ""
        if full := self._slots(deployment):
            return full
        return "waiting for a build slot of the server" if self._at - deployment.created_at > SOON else ""

    def reason(self, deployment: Deployment) -> str:
        """Why it failed, who cancelled it, or why it waits; blank for one of which there is nothing to say."""
        return deployment.reason or self.why(deployment)

    def _slots(self, deployment: Deployment) -> str:
        key = deployment.namespace_id
        if key not in self._full:
            held, slots = _held(self._at)[key], quotas.limit(deployment.service.namespace.slug, "builds")
            full = f"waiting for a build slot of this namespace ({held} of {slots} in use)"
            self._full[key] = full if held >= slots else ""
        return self._full[key]


def _in_turn(at: datetime) -> Iterator[int]:
    """The namespaces that wait and have a slot left: who builds least comes first, then whose turn is longest ago."""
    waiting = Deployment.objects.across_namespaces().claimable(at).order_by()
    since = dict(waiting.values_list("namespace").annotate(Min("created_at")))
    held, began = _held(at), _last_began(since)
    slugs = dict(Namespace.objects.filter(pk__in=list(since)).values_list("pk", "slug"))
    for key in sorted(slugs, key=lambda key: (held[key], began.get(key) or NEVER, since[key])):
        if held[key] < quotas.limit(slugs[key], "builds"):
            yield key


def _held(at: datetime) -> Counter[int]:
    """How many slots each namespace holds."""
    return Counter(Deployment.objects.across_namespaces().held(at).values_list("namespace", flat=True))


def _last_began(namespaces: Iterable[int]) -> Mapping[int, datetime | None]:
    rows = Deployment.objects.across_namespaces().filter(namespace__in=list(namespaces)).order_by()
    return dict(rows.values_list("namespace").annotate(Max("began_at")))
