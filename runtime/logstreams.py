"""The streams that keep logs: one for each namespace, so that what one prints pushes out nobody else's lines.

A stream is made when something is first published in its namespace. Inside it each log has a subject of its own with a
limit of its own. Who follows a log hears of a message when it is on disk, by the subject's twin below `loglive`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import nats
from django.conf import settings
from django.db import connection
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, RePublish, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from micro.errors import Unavailable
from tenants import quotas
from transport.failures import AWAY

OF_ALL = "logs"  # the one stream that the version before kept everybody's logs in
PUBLISHED_AT = "Micro-Published-At"  # of a message that has moved
MOST_MESSAGES = 2000  # of one log
LOOK_AGAIN_S = 300.0  # at a namespace's limit, which its plan may have changed
MOVED_AT_ONCE = 256
ANSWER_S = 5.0

logger = logging.getLogger(__name__)


def stream(namespace: str) -> str:
    """The namespace's stream."""
    return f"logs-{namespace}"


def subject(namespace: str, service_id: UUID | str, kind: str) -> str:
    """Where the lines of a service are published. Names of namespaces hold no dots, and ids hold none either."""
    return f"log.{namespace}.{service_id}.{kind}"


def live(namespace: str, service_id: UUID | str, kind: str) -> str:
    """Where lines are heard of once they are on disk."""
    return f"loglive.{namespace}.{service_id}.{kind}"


async def connect() -> nats.NATS:
    """A connection to NATS that ends when it breaks. Raises Unavailable when there is none to be had now."""
    client = nats.NATS()
    try:
        # Without its own limits the client tries for minutes before it says that nobody is there.
        await client.connect(
            settings.NATS_URL,
            connect_timeout=2,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0.1,
            error_cb=_note,
        )
    except (NatsError, OSError, TimeoutError) as error:
        raise Unavailable(f"The log store is away: {error}.") from None
    except asyncio.CancelledError:
        await client.close()  # its own tasks would keep the connection for ever
        raise
    return client


async def _note(error: Exception) -> None:
    logger.debug("nats: %s", error)


class Streams:
    """The streams as one publisher knows them to be."""

    def __init__(self, jetstream: Any) -> None:
        self._jetstream = jetstream
        self._known: dict[str, tuple[int, float]] = {}  # by namespace: how many bytes it keeps, and seen when

    async def require(self, namespace: str) -> None:
        """Make the namespace's stream what its plan says."""
        size_bytes, at = self._known.get(namespace, (0, float("-inf")))
        if time.monotonic() - at < LOOK_AGAIN_S:
            return
        allowed = await self._allowed(namespace) or size_bytes
        if allowed != size_bytes:
            await self._make(_config(namespace, allowed))
        self._known[namespace] = allowed, time.monotonic()

    async def _allowed(self, namespace: str) -> int:
        """How many bytes the namespace may keep; 0 while the database, which knows it, is away."""
        try:
            return await asyncio.to_thread(_limit, namespace)
        except AWAY as error:
            if namespace not in self._known:
                raise Unavailable(f"The database is away: {str(error).strip()}.") from None
            return 0

    async def move(self) -> None:
        """Bring what the version before has kept into the namespaces' own streams; what is moved is gone there."""
        try:
            await self._jetstream.stream_info(OF_ALL)
        except NotFoundError:
            return
        feed = await self._jetstream.subscribe(f"{OF_ALL}.>", stream=OF_ALL, ordered_consumer=True)
        left = (await feed.consumer_info()).num_pending or 0
        while left:
            moved = [await feed.next_msg(timeout=ANSWER_S) for _ in range(min(left, MOVED_AT_ONCE))]
            left = moved[-1].metadata.num_pending
            await self._publish_again(moved)
            await self._jetstream.purge_stream(OF_ALL, seq=moved[-1].metadata.sequence.stream + 1)
        await self._jetstream.delete_stream(OF_ALL)
        logger.info("logs of the version before are in the streams of their namespaces")

    async def _publish_again(self, messages: list[Any]) -> None:
        acknowledgements = []
        for message in messages:
            _, namespace, service_id, kind = message.subject.split(".")
            await self.require(namespace)
            headers = {**(message.headers or {}), PUBLISHED_AT: message.metadata.timestamp.isoformat()}
            place = subject(namespace, service_id, kind)
            acknowledgements.append(await self._jetstream.publish_async(place, message.data, headers=headers))
        for acknowledgement in acknowledgements:
            await asyncio.wait_for(acknowledgement, ANSWER_S)

    async def _make(self, config: StreamConfig) -> None:
        try:
            await self._jetstream.add_stream(config)
        except BadRequestError:
            await self._jetstream.update_stream(config)


def _config(namespace: str, size_bytes: int) -> StreamConfig:
    return StreamConfig(
        name=stream(namespace),
        subjects=[f"log.{namespace}.>"],
        max_age=timedelta(days=7).total_seconds(),
        max_bytes=size_bytes,
        max_msgs_per_subject=MOST_MESSAGES,
        discard=DiscardPolicy.OLD,
        duplicate_window=120,
        allow_direct=True,
        republish=RePublish(src=f"log.{namespace}.>", dest=f"loglive.{namespace}.>"),
    )


def _limit(namespace: str) -> int:
    try:
        return int(quotas.limit(namespace, "log_bytes"))
    finally:
        connection.close()  # of this thread, which is asked again in minutes


def purge(namespace: str, service_id: UUID) -> None:
    """Remove everything that a service ever printed. Raises Unavailable when the log store is away."""
    asyncio.run(_purge(namespace, service_id))


async def _purge(namespace: str, service_id: UUID) -> None:
    client = await connect()
    try:
        jetstream = client.jetstream(timeout=ANSWER_S)
        with contextlib.suppress(NotFoundError):  # nothing was ever printed there
            await jetstream.purge_stream(stream(namespace), subject=subject(namespace, service_id, "*"))
        with contextlib.suppress(NotFoundError):
            await jetstream.purge_stream(OF_ALL, subject=f"{OF_ALL}.{namespace}.{service_id}.*")
    except NatsError as error:
        raise Unavailable(f"The log store is away: {error}.") from None
    finally:
        await client.close()
