"""NATS for events, broker and logs: one connection for each event loop, no thread.

Nothing here knows a tenant. Whoever uses it puts the namespace into the subject, and texts that others chose through
`token`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import nats
import nats.errors
from django.conf import settings
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from micro.errors import Unavailable

from .database import PerLoop
from .questions import ANSWER_S, Questions

__all__ = ["ANSWER_S", "Bus", "JetStreamError", "NoResponder", "get", "raise_refusal", "status", "token"]

logger = logging.getLogger(__name__)

AWAY_S = 1.0  # how long callers wait for a connection that is being made again
RECONNECT_S = 0.1
PING_S = 5  # two unanswered pings and the connection counts as dead
READABLE_TOKEN = 64
UNAVAILABLE = 503

_READABLE = re.compile(r"[A-Za-z0-9_-]+")

OnMessage = Callable[[Msg], None]


class NoResponder(Exception):
    """Nothing listens on the subject: for JetStream, there is no such stream or consumer."""


class JetStreamError(Exception):
    """JetStream refused; `code` is its own error code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code


def token(text: str) -> str:
    """One part of a subject that stands for `text`, whatever its characters and length; different for each text."""
    if len(text) <= READABLE_TOKEN and _READABLE.fullmatch(text):
        return text
    return "=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


class Bus:
    """A connection that comes back by itself. Made by `get`; connects when it is first used."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = Connection()
        self._up = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._lost_at = 0.0  # by the loop's clock
        self._inbox = f"_INBOX.{self._connection.new_inbox().rpartition('.')[2]}"
        self._tokens = count()
        self._answers: dict[str, OnMessage] = {}
        self._questions = Questions(self._send, self._inbox)
        self._shared: dict[str, _Shared] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.on_back: set[Callable[[], None]] = set()  # there is a connection again; what was asked before is forgotten
        self.on_away: set[Callable[[Unavailable], None]] = set()  # it has been gone for AWAY_S

    async def request(self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None) -> Msg:
        """The answer to a message. Raises NoResponder, and Unavailable when NATS is away or does not answer."""
        await self.connected()
        message = await self._questions.ask(subject, payload, headers)
        if not message.data and status(message) == "503":
            raise NoResponder(subject)
        return message

    async def confirm(self) -> None:
        """Until NATS has taken everything that was sent before this. Raises Unavailable when it is away.

        Not by PING: when somebody stops waiting for a PONG, the client library takes the PONG for a broken connection.
        """
        await self.connected()
        await self._questions.ask("", b"")

    async def jetstream(self, api: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """An answer of JetStream's API, such as `STREAM.INFO.events`. Raises JetStreamError for a refusal."""
        message = await self.request(f"$JS.API.{api}", json.dumps(body).encode() if body else b"")
        answer: dict[str, Any] = json.loads(message.data)
        raise_refusal(answer)
        return answer

    async def stored(self, stream: str, wanted: Mapping[str, Any]) -> tuple[list[Msg], int]:
        """Some messages of a stream, chosen as its direct API has it, and how many more there are.

        Raises NoResponder when there is no such stream, Unavailable when NATS is away or does not answer.
        """
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        found: list[Msg] = []
        async with self.answers(arrived.put_nowait) as reply:
            await self.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(wanted).encode(), reply=reply)
            while not (code := status(message := await _next(arrived))):
                found.append(message)
        if code == str(UNAVAILABLE):
            raise NoResponder(stream)
        return found, int((message.headers or {}).get("Nats-Num-Pending", "0"))

    async def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a message; what becomes of it is not told. Raises Unavailable when NATS is away."""
        await self.connected()
        await self._send(subject, payload, reply, headers)

    async def _send(self, subject: str, payload: bytes, reply: str, headers: Mapping[str, str] | None) -> None:
        try:
            await self._connection.publish(subject, payload, reply=reply, headers=dict(headers) if headers else None)
        except (nats.errors.Error, OSError) as error:
            raise _away(error) from None

    async def connected(self, *, patiently: bool = False) -> None:
        """Raises Unavailable when there has been no connection for AWAY_S; waits until it has.

        Who waits `patiently` always waits so long, which slows down callers that come back at once and for ever.
        """
        if self._up.is_set():
            return
        if self._connecting is None:
            self._connecting = self.spawn(self._connect())
            self._lost_at = asyncio.get_running_loop().time()
        try:
            since = asyncio.get_running_loop().time() if patiently else self._lost_at
            async with asyncio.timeout_at(since + AWAY_S):
                await self._up.wait()
        except TimeoutError:
            raise _away() from None

    def new_inbox(self) -> str:
        """A subject that nobody else knows."""
        inbox: str = self._connection.new_inbox()
        return inbox

    @property
    def max_payload_bytes(self) -> int:
        """What one message may hold, headers included."""
        limit: int = self._connection.max_payload
        return limit

    @asynccontextmanager
    async def answers(self, on_message: OnMessage) -> AsyncIterator[str]:
        """A subject of one's own, to which others may reply until the block ends."""
        with self._answering(on_message) as reply:
            await self.connected()
            yield reply

    @asynccontextmanager
    async def listen(self, subject: str, on_message: OnMessage) -> AsyncIterator[None]:
        """Call `on_message` for what is published on `subject`. All listeners of a subject share one subscription."""
        shared = self._shared.get(subject)
        if shared is None:
            shared = self._shared[subject] = _Shared()
        shared.listeners[on_message] = None
        try:
            await shared.ready(lambda: self.subscribe(subject, shared.deliver))
            yield
        finally:
            shared.listeners.pop(on_message, None)
            if not shared.listeners and self._shared.get(subject) is shared:
                del self._shared[subject]
                if shared.subscription is not None:
                    self.spawn(self._unsubscribe(shared.subscription))

    async def subscribe(self, subject: str, on_message: OnMessage, *, queue: str = "") -> Subscription:
        """A subscription of one's own, which NATS knows of when this returns; `queue`: one member gets each message."""
        await self.connected()

        async def deliver(message: Msg) -> None:
            on_message(message)

        try:
            subscription = await self._connection.subscribe(
                subject, queue=queue, cb=deliver, pending_msgs_limit=0, pending_bytes_limit=0
            )
        except (nats.errors.Error, OSError) as error:
            raise _away(error) from None
        try:
            await self.confirm()
        except BaseException:
            self.spawn(self._unsubscribe(subscription))
            raise
        return subscription

    async def leave(self, subscription: Subscription) -> None:
        """End a subscription once everything that was sent to it has been delivered."""
        try:
            await subscription.drain()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            logger.info("a subscription ended with its connection: %s", error)

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine beside its caller, to its end."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._questions.close()
        if self._cut is not None:
            self._cut.cancel()
        if self._connecting is not None and not self._connection.is_closed:
            try:
                await self._connection.close()
            except (nats.errors.Error, OSError) as error:
                logger.info("the connection to NATS ended before it was closed: %s", error)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("work beside a call failed", exc_info=error)

    async def _unsubscribe(self, subscription: Subscription) -> None:
        try:
            await subscription.unsubscribe()
        except (nats.errors.Error, OSError) as error:
            logger.info("a subscription ended with its connection: %s", error)

    def _answering(self, on_message: OnMessage) -> _Answering:
        return _Answering(self._answers, self._inbox, f"{next(self._tokens):x}", on_message)

    async def _connect(self) -> None:
        await self._connection.connect(
            self._url,
            name="micro",
            error_cb=self._log,
            disconnected_cb=self._lost,
            reconnected_cb=self._found,
            connect_timeout=2,
            reconnect_time_wait=RECONNECT_S,
            max_reconnect_attempts=-1,
            ping_interval=PING_S,
        )
        await self._connection.subscribe(
            f"{self._inbox}.*", cb=self._answered, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._up.set()

    async def _answered(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        if on_message := self._answers.get(token):
            on_message(message)
        else:
            await self._questions.answered(token, message)

    async def _lost(self) -> None:
        if not self._up.is_set():
            return
        logger.warning("the connection to NATS is lost")
        self._up.clear()
        self._questions.fail(_away)
        loop = asyncio.get_running_loop()
        self._lost_at = loop.time()
        self._cut = loop.call_later(AWAY_S, self._tell_away)

    async def _found(self) -> None:
        logger.info("connected to NATS again")
        if self._cut is not None:
            self._cut.cancel()
        self._up.set()
        for tell in tuple(self.on_back):
            tell()

    async def _log(self, error: Exception) -> None:
        if not isinstance(error, (nats.errors.Error, OSError)):
            logger.error("a message was not taken", exc_info=error)
        elif self._up.is_set():
            logger.warning("NATS: %s", str(error) or type(error).__name__)

    def _tell_away(self) -> None:
        for tell in tuple(self.on_away):
            tell(_away())


class _Answering:
    """While entered, messages to its subject reach `on_message`."""

    __slots__ = ("_answers", "_on_message", "_subject", "_token")

    def __init__(self, answers: dict[str, OnMessage], inbox: str, token: str, on_message: OnMessage) -> None:
        self._answers, self._token, self._on_message = answers, token, on_message
        self._subject = f"{inbox}.{token}"

    def __enter__(self) -> str:
        self._answers[self._token] = self._on_message
        return self._subject

    def __exit__(self, *_exception: object) -> None:
        self._answers.pop(self._token, None)


class _Shared:
    """A subscription and who listens to it."""

    def __init__(self) -> None:
        self.listeners: dict[OnMessage, None] = {}
        self.subscription: Subscription | None = None
        self._lock = asyncio.Lock()

    async def ready(self, subscribe: Callable[[], Any]) -> None:
        async with self._lock:
            if self.subscription is None:
                self.subscription = await subscribe()

    def deliver(self, message: Msg) -> None:
        for listener in tuple(self.listeners):
            listener(message)


def raise_refusal(answer: Mapping[str, Any]) -> None:
    """Raises JetStreamError for an answer that is a refusal, Unavailable when JetStream cannot answer now."""
    error = answer.get("error")
    if error is None:
        return
    if error["code"] == UNAVAILABLE:
        raise _away(JetStreamError(error.get("err_code", 0), error["description"]))
    raise JetStreamError(error.get("err_code", 0), error["description"])


def status(message: Msg) -> str:
    """The status that NATS itself gave instead of a message, such as 404; blank for a message."""
    return (message.headers or {}).get("Status", "") if not message.data else ""


async def _next(arrived: asyncio.Queue[Msg]) -> Msg:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await arrived.get()
    except TimeoutError:
        raise Unavailable("The event server did not answer in time; try again.") from None


def get() -> Bus:
    """The running loop's bus."""
    return _bus.get()


def _away(error: Exception | None = None) -> Unavailable:
    if error is not None:
        logger.warning("NATS: %s", error or type(error).__name__)
    return Unavailable("The event server is away; try again.")


_bus: PerLoop[Bus] = PerLoop(lambda: Bus(settings.NATS_URL))
