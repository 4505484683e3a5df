"""The one JetStream stream of each namespace, made when it is first used."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from micro.errors import NotFound, ResourceExhausted, Unavailable
from tenants.models import Namespace
from transport.bus import Bus, JetStreamError, NoResponder
from transport.tenancy import in_public

from . import limits, subjects
from .limits import Limits

NAME_IN_USE = 10058  # with other settings
NO_STREAM = 10059
NO_ROOM = frozenset({10023, 10028, 10047})
KNOWN_IDS_FOR = timedelta(minutes=2)

Result = TypeVar("Result")


class Streams:
    """Which namespaces' streams are known to be there, and to keep what the namespace's plan says."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._known: dict[str, Limits] = {}  # with the limits that they were made by
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def using(self, namespace: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """What `work` returns, once the namespace has its stream; made anew when it turns out to be gone.

        Raises NotFound when there is no such namespace.
        """
        await self.ensure(namespace)
        try:
            return await work()
        except NoResponder:
            pass
        except JetStreamError as error:
            if error.code != NO_STREAM:
                raise
        self._known.pop(namespace, None)
        await self.ensure(namespace)
        try:
            return await work()
        except NoResponder:
            raise Unavailable("The event server is not ready; try again.") from None

    async def ensure(self, namespace: str) -> None:
        """Make the namespace's stream what its plan says now. Raises NotFound when there is no such namespace."""
        allowed = limits.of(namespace)
        if self._known.get(namespace) == allowed:
            return
        async with self._locks[namespace]:
            if self._known.get(namespace) != allowed:
                await self._make(namespace, allowed)
                self._known[namespace] = allowed
        self._locks.pop(namespace, None)

    async def _make(self, namespace: str, allowed: Limits) -> None:
        if not await in_public(Namespace.objects.filter(slug=namespace).exists):
            raise NotFound(f"Namespace {namespace!r} does not exist.")
        name, wanted = subjects.stream(namespace), _settings(namespace, allowed)
        try:
            await self.bus.jetstream(f"STREAM.CREATE.{name}", wanted)
        except JetStreamError as error:
            if error.code in NO_ROOM:
                raise ResourceExhausted("The server's disk has no room for another namespace's events.") from None
            if error.code != NAME_IN_USE:
                raise
            await self.bus.jetstream(f"STREAM.UPDATE.{name}", wanted)


def _settings(namespace: str, allowed: Limits) -> dict[str, Any]:
    return {
        "name": subjects.stream(namespace),
        "subjects": subjects.everything(namespace),
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": _nanoseconds(allowed.age),
        "max_bytes": allowed.size_bytes,
        "max_msgs": -1,
        "num_replicas": 1,
        "duplicate_window": _nanoseconds(min(KNOWN_IDS_FOR, allowed.age)),
        "allow_direct": True,
        # Whoever follows without a group hears of an event when it is on disk, and not before.
        "republish": {"src": f"events.{namespace}.*", "dest": f"live.{namespace}.{{{{wildcard(1)}}}}"},
    }


def _nanoseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1e9)
