"""Groups: durable consumers of JetStream, which keep a group's place while nobody consumes."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from micro.errors import NotFound, ResourceExhausted
from transport.bus import JetStreamError

from . import limits, subjects
from .streams import Streams

NO_CONSUMER = 10014
CONSUMER_EXISTS = frozenset({10105, 10148})
HELD_AT_ONCE = 10_000  # events of one group that wait for their acks
GONE_AFTER_S = 60  # a nameless consumer whose sidecar died
STARTS = ("deliver_policy", "opt_start_seq", "opt_start_time")


@dataclass(frozen=True, slots=True)
class Start:
    """Where a new group begins: after a sequence, at a time (unix seconds), else with what is published next."""

    after: int | None = None
    since: int = 0

    @property
    def policy(self) -> dict[str, Any]:
        """As JetStream says it."""
        if self.after is not None:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self.after + 1}
        if self.since:
            at = datetime.fromtimestamp(self.since, UTC).isoformat()
            return {"deliver_policy": "by_start_time", "opt_start_time": at}
        return {"deliver_policy": "new"}


@dataclass(frozen=True, slots=True)
class Consumer:
    """A group's consumer, or the one of a nameless consumer that acknowledges."""

    namespace: str
    topic: str
    group: str
    name: str

    @property
    def api(self) -> str:
        """How JetStream's API names it."""
        return f"{subjects.stream(self.namespace)}.{self.name}"


@dataclass(frozen=True, slots=True)
class Group:
    """A group, and how far behind it is (counts)."""

    topic: str
    name: str
    waiting: int
    unacknowledged: int


class Groups:
    """The groups of all namespaces, made when somebody first consumes in them."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._bus = streams.bus
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def join(self, *, namespace: str, topic: str, group: str, start: Start, ack_wait_s: float) -> Consumer:
        """The group's consumer, made when it is missing; what it was last asked to wait for acks counts for all of it.

        Raises ResourceExhausted when the namespace has as many groups as it may have.
        """
        consumer = Consumer(namespace, topic, group, subjects.group(topic, group))
        settings = _settings(consumer, ack_wait_s=ack_wait_s) | {"durable_name": consumer.name}

        async def join() -> None:
            current = await self._info(consumer)
            if current is None:
                await self._make(consumer, settings | start.policy)
            elif current["config"]["ack_wait"] != settings["ack_wait"]:
                begun = {key: value for key, value in current["config"].items() if key in STARTS}
                await self._create(consumer, settings | begun, action="update")

        await self._streams.using(namespace, join)
        return consumer

    async def join_alone(self, *, namespace: str, topic: str, start: Start, ack_wait_s: float) -> Consumer:
        """A consumer for one caller alone, gone soon after it; raises like `join`."""
        consumer = Consumer(namespace, topic, "", f"alone-{secrets.token_hex(12)}")
        settings = _settings(consumer, ack_wait_s=ack_wait_s)
        settings |= {"name": consumer.name, "inactive_threshold": _nanoseconds(GONE_AFTER_S), "mem_storage": True}
        await self._streams.using(namespace, lambda: self._make(consumer, settings | start.policy))
        return consumer

    async def listing(self, *, namespace: str, topic: str = "") -> list[Group]:
        """The namespace's groups, of one topic or of all."""
        await self._streams.ensure(namespace)
        found = [_group(info) async for info in self._infos(namespace) if "group" in info["config"].get("metadata", {})]
        return sorted(
            (group for group in found if topic in ("", group.topic)), key=lambda group: (group.topic, group.name)
        )

    async def exists(self, *, namespace: str, topic: str, group: str) -> bool:
        """Whether somebody has consumed in the group, ever, and nobody deleted it."""
        await self._streams.ensure(namespace)
        return await self._info(Consumer(namespace, topic, group, subjects.group(topic, group))) is not None

    async def delete(self, *, namespace: str, topic: str, group: str) -> None:
        """Forget a group and its backlog. Raises NotFound."""
        consumer = Consumer(namespace, topic, group, subjects.group(topic, group))
        await self._streams.ensure(namespace)
        if not await self.remove(consumer):
            raise NotFound(f"Topic {topic!r} has no group {group!r}.")

    async def remove(self, consumer: Consumer) -> bool:
        """Make a consumer gone; whether it was there."""
        try:
            await self._bus.jetstream(f"CONSUMER.DELETE.{consumer.api}")
        except JetStreamError as error:
            if error.code != NO_CONSUMER:
                raise
            return False
        return True

    async def _info(self, consumer: Consumer) -> dict[str, Any] | None:
        try:
            return await self._bus.jetstream(f"CONSUMER.INFO.{consumer.api}")
        except JetStreamError as error:
            if error.code != NO_CONSUMER:
                raise
            return None

    async def _make(self, consumer: Consumer, settings: Mapping[str, Any]) -> None:
        """Create and count, one at a time in this process; undo it when another process was faster."""
        limit = limits.of(consumer.namespace).groups
        refusal = ResourceExhausted(
            f"Namespace {consumer.namespace!r} may have {limit} groups; delete one that is not needed any more."
        )
        async with self._locks[consumer.namespace]:
            if await self._count(consumer.namespace) >= limit:
                raise refusal
            await self._create(consumer, settings, action="create")
            if await self._count(consumer.namespace) > limit:
                await self.remove(consumer)
                raise refusal

    async def _create(self, consumer: Consumer, settings: Mapping[str, Any], *, action: str) -> None:
        body = {"stream_name": subjects.stream(consumer.namespace), "action": action, "config": settings}
        try:
            await self._bus.jetstream(f"CONSUMER.CREATE.{consumer.api}", body)
        except JetStreamError as error:
            if error.code not in CONSUMER_EXISTS:
                raise

    async def _count(self, namespace: str) -> int:
        info = await self._bus.jetstream(f"STREAM.INFO.{subjects.stream(namespace)}")
        return int(info["state"]["consumer_count"])

    async def _infos(self, namespace: str) -> AsyncIterator[dict[str, Any]]:
        seen, total = 0, 1
        while seen < total:
            page = await self._bus.jetstream(f"CONSUMER.LIST.{subjects.stream(namespace)}", {"offset": seen})
            for info in page["consumers"]:
                yield info
            seen, total = seen + max(1, len(page["consumers"])), page["total"]


def _settings(consumer: Consumer, *, ack_wait_s: float) -> dict[str, Any]:
    filters = [subjects.topic(consumer.namespace, consumer.topic)]
    metadata = {}
    if consumer.group:
        filters.append(subjects.redriven(consumer.namespace, consumer.topic, consumer.group))
        metadata = {"topic": consumer.topic, "group": consumer.group}
    return {
        "ack_policy": "explicit",
        "ack_wait": _nanoseconds(ack_wait_s),
        "max_deliver": -1,  # the sidecar counts, and keeps what has failed too often
        "max_ack_pending": HELD_AT_ONCE,
        "filter_subjects": filters,
        "metadata": metadata,
    }


def _group(info: Mapping[str, Any]) -> Group:
    named = info["config"]["metadata"]
    return Group(named["topic"], named["group"], info["num_pending"], info["num_ack_pending"])


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
