"""One Envoy's side of the delta protocol: what it asked for, was sent, and has applied. No I/O.

What is new is made before what is old is broken: clusters and their endpoints, then listeners, scopes and routes, then
the clusters that nothing leads to any more go.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from envoy.service.discovery.v3 import discovery_pb2

from .resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SCOPE, SECRET, TYPES, Resource, Resources

logger = logging.getLogger(__name__)

WILDCARDS = frozenset({CLUSTER, LISTENER, SCOPE})
BATCH_BYTES = 1024 * 1024


@dataclass(slots=True)
class Subscription:
    """What one Envoy has of one type. A version of None says that it was told there is no such resource."""

    names: set[str] = field(default_factory=set)
    is_open: bool = False
    sent: dict[str, str | None] = field(default_factory=dict)
    applied: dict[str, str | None] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    in_flight: dict[str, dict[str, str | None]] = field(default_factory=dict)
    one_by_one: set[str] = field(default_factory=set)


class Session:
    """One stream. Feed it requests and resources; take responses; ask which revision is applied."""

    def __init__(self, resources: Resources) -> None:
        self.envoy_id = ""
        self.pid = 0
        self.resources = resources
        self.types = {type_url: Subscription() for type_url in TYPES}
        self._nonces = count(1)
        self._reported_refusals: list[Resource] = []

    def receive(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        """Take in a request: a subscription, an acknowledgement or a refusal."""
        if request.node.id:
            self.envoy_id, self.pid = request.node.id, int(request.node.metadata.fields["pid"].number_value)
        subscription = self.types.get(request.type_url)
        if subscription is None:
            return
        if request.response_nonce:
            self._answered(request, subscription)
        if not subscription.is_open:
            subscription.is_open = True
            held = dict(request.initial_resource_versions)
            subscription.sent.update(held)
            subscription.applied.update(held)
        for name in request.resource_names_subscribe:
            subscription.names.add(name)
            if name not in request.initial_resource_versions:  # asked for again: it is to be sent again
                subscription.sent.pop(name, None)
                subscription.applied.pop(name, None)
        for name in request.resource_names_unsubscribe:
            subscription.names.discard(name)
            subscription.sent.pop(name, None)
            subscription.applied.pop(name, None)

    def responses(self) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        """What is to be sent now. Ask again after every `receive` and every change of `resources`."""
        yield from self._updates(CLUSTER)
        yield from self._updates(ENDPOINTS)
        if not (self._is_settled(CLUSTER) and self._is_settled(ENDPOINTS)):
            return
        for type_url in (SECRET, LISTENER, SCOPE, ROUTES):
            yield from self._updates(type_url)
        for type_url in (SCOPE, LISTENER, ROUTES, SECRET):
            yield from self._removals(type_url)
        if all(self._is_settled(type_url) for type_url in (SECRET, LISTENER, SCOPE, ROUTES)):
            yield from self._removals(CLUSTER)
            yield from self._removals(ENDPOINTS)

    def applied_revision(self) -> int | None:
        """The revision of `resources` when this Envoy has applied all of it, and holds nothing else; None otherwise."""
        if all(self._has_applied(type_url) for type_url in TYPES):
            return self.resources.revision
        return None

    def retry_listeners(self) -> None:
        """Send refused listeners again: what was wrong may have been the port, not the resource."""
        listeners = self.types[LISTENER]
        for name in listeners.refused:
            listeners.sent.pop(name, None)
        listeners.refused.clear()

    def take_refusals(self) -> list[Resource]:
        """The resources that Envoy has refused since the last call."""
        taken, self._reported_refusals = self._reported_refusals, []
        return taken

    def _answered(self, request: discovery_pb2.DeltaDiscoveryRequest, subscription: Subscription) -> None:
        versions = subscription.in_flight.pop(request.response_nonce, None)
        if versions is None:
            return
        if request.HasField("error_detail"):
            self._refused(request.type_url, subscription, versions, request.error_detail.message)
            return
        for name, version in versions.items():
            subscription.applied[name] = version
            if version is None and name not in subscription.names and subscription.sent.get(name) is None:
                subscription.sent.pop(name, None)
                subscription.applied.pop(name)

    def _refused(
        self, type_url: str, subscription: Subscription, versions: Mapping[str, str | None], reason: str
    ) -> None:
        """Envoy keeps what it had. Of several at once, each is tried alone, so that one bad resource harms no other."""
        names = [name for name, version in versions.items() if version is not None]
        if len(names) > 1:
            subscription.one_by_one.update(names)
            for name in names:
                subscription.sent.pop(name, None)
            return
        for name in names:
            version = versions[name] or ""
            subscription.refused[name] = version
            logger.error("Envoy %s refused %s %s: %s", self.envoy_id, type_url.rpartition(".")[2], name, reason)
            resource = self.resources[type_url].get(name)
            if resource and resource.version == version:
                self._reported_refusals.append(resource)

    def _wanted(self, type_url: str) -> Iterator[Resource]:
        subscription = self.types[type_url]
        resources = self.resources[type_url]
        if type_url in WILDCARDS:
            yield from resources.values() if subscription.is_open else ()
            return
        for name in sorted(subscription.names):
            if resource := resources.get(name):
                yield resource

    def _updates(self, type_url: str) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        subscription = self.types[type_url]
        changed = [each for each in self._wanted(type_url) if subscription.sent.get(each.name) != each.version]
        if type_url == CLUSTER:
            self._resend_endpoints(changed)
        alone = [each for each in changed if each.name in subscription.one_by_one]
        together = [each for each in changed if each.name not in subscription.one_by_one]
        for batch in (*_batches(together), *([each] for each in alone)):
            yield self._response(type_url, updates=batch)

    def _resend_endpoints(self, clusters: Iterable[Resource]) -> None:
        """A cluster that changes waits for its endpoints anew, but Envoy does not ask for them again."""
        endpoints = self.types[ENDPOINTS]
        for cluster in clusters:
            if self.types[CLUSTER].applied.get(cluster.name):
                endpoints.sent.pop(cluster.name, None)
                endpoints.applied.pop(cluster.name, None)

    def _removals(self, type_url: str) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        subscription = self.types[type_url]
        resources = self.resources[type_url]
        known = {name for name, version in subscription.sent.items() if version is not None}
        unheard = (
            set() if type_url in WILDCARDS else {name for name in subscription.names if name not in subscription.sent}
        )
        gone = sorted(name for name in known | unheard if name not in resources)
        if gone:
            yield self._response(type_url, removals=gone)

    def _response(
        self, type_url: str, *, updates: Iterable[Resource] = (), removals: Iterable[str] = ()
    ) -> discovery_pb2.DeltaDiscoveryResponse:
        versions: dict[str, str | None] = {each.name: each.version for each in updates}
        versions.update(dict.fromkeys(removals))
        nonce = str(next(self._nonces))
        subscription = self.types[type_url]
        subscription.in_flight[nonce] = versions
        subscription.sent.update(versions)
        return discovery_pb2.DeltaDiscoveryResponse(
            type_url=type_url,
            nonce=nonce,
            system_version_info=str(self.resources.revision),
            resources=[
                discovery_pb2.Resource(name=each.name, version=each.version, resource=each.packed()) for each in updates
            ],
            removed_resources=list(removals),
        )

    def _is_settled(self, type_url: str) -> bool:
        """Nothing of this type is under way: all that is wanted was applied, or refused for good."""
        subscription = self.types[type_url]
        if any(subscription.in_flight.values()):
            return False
        if type_url == ENDPOINTS and not self._asked_for_all_endpoints():
            return False
        return all(
            each.version in (subscription.applied.get(each.name), subscription.refused.get(each.name))
            for each in self._wanted(type_url)
        )

    def _asked_for_all_endpoints(self) -> bool:
        refused = self.types[CLUSTER].refused
        needed = {name for name in self.resources[ENDPOINTS] if name not in refused}
        return needed <= self.types[ENDPOINTS].names

    def _has_applied(self, type_url: str) -> bool:
        applied = {name: version for name, version in self.types[type_url].applied.items() if version is not None}
        wanted = self.resources[type_url]
        return applied.keys() == wanted.keys() and all(applied[name] == each.version for name, each in wanted.items())


def _batches(resources: Iterable[Resource]) -> Iterator[list[Resource]]:
    """Resources in lists of about BATCH_BYTES."""
    batch: list[Resource] = []
    size_bytes = 0
    for resource in resources:
        if batch and size_bytes + len(resource.value) > BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
        batch.append(resource)
        size_bytes += len(resource.value)
    if batch:
        yield batch
