"""Requests to NATS: many to a write, and to a wake-up when their answers come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import NamedTuple

from nats.aio.msg import Msg

from micro.errors import Unavailable

ANSWER_S = 2.0  # NATS answers in milliseconds, or it is away
LOOK_S = 0.25  # between looks for those that have waited too long
GATHER_S = 0.001
FEW = 8

Headers = Mapping[str, str] | None
Send = Callable[[str, bytes, str, Headers], Awaitable[None]]  # subject, payload, reply, headers


class Question(NamedTuple):
    """What is asked, and who waits for the answer until when (by the loop's clock)."""

    subject: str
    payload: bytes
    headers: Headers
    answer: asyncio.Future[Msg]
    due: float


class Questions:
    """Requests that are answered below one subject.

    Among few, a request goes out at once. While many wait for their answers, requests gather for a millisecond and go
    out together: a write costs as much as the rest of a request.
    """

    def __init__(self, send: Send, inbox: str) -> None:
        self._send, self._inbox = send, inbox
        self._numbers = count()
        self._gathered: dict[str, Question] = {}
        self._sent: dict[str, Question] = {}  # oldest first
        self._flushing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    async def ask(self, subject: str, payload: bytes, headers: Headers = None) -> Msg:
        """The answer; a blank `subject` asks oneself. Raises Unavailable when there is none in time."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Msg] = loop.create_future()
        token = f"q{next(self._numbers):x}"
        self._gathered[token] = Question(subject, payload, headers, future, loop.time() + ANSWER_S)
        if self._looking is None:
            self._looking = loop.call_later(LOOK_S, self._look)
        if len(self._sent) < FEW:
            await self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(GATHER_S, self._flush_soon)
        try:
            return await future
        finally:
            self._gathered.pop(token, None)
            self._sent.pop(token, None)

    async def answered(self, token: str, message: Msg) -> None:
        """Somebody's answer has come."""
        question = self._sent.pop(token, None)
        if question is not None and not question.answer.done():
            question.answer.set_result(message)
        if self._gathered and len(self._sent) < FEW:
            await self._flush()

    def fail(self, failure: Callable[[], Exception]) -> None:
        """No answer will come for what has been sent."""
        for question in self._sent.values():
            if not question.answer.done():
                question.answer.set_exception(failure())
        self._sent.clear()
        if self._gathered:
            self._flush_soon()

    def close(self) -> None:
        """Look and gather no more."""
        for handle in (self._timer, self._looking):
            if handle is not None:
                handle.cancel()

    async def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._gathered:
            token = next(iter(self._gathered))
            question = self._gathered.pop(token)
            self._sent[token] = question
            reply = f"{self._inbox}.{token}"
            try:
                await self._send(question.subject or reply, question.payload, reply, question.headers)
            except Exception as error:  # noqa: BLE001 - whoever asked must hear of it
                if not question.answer.done():
                    question.answer.set_exception(error)

    def _flush_soon(self) -> None:
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def _look(self) -> None:
        """Give up on those that have waited too long."""
        loop = asyncio.get_running_loop()
        now, self._looking = loop.time(), None
        for waiting in (self._sent, self._gathered):
            for question in tuple(waiting.values()):
                if question.due > now:
                    break
                if not question.answer.done():
                    question.answer.set_exception(Unavailable("The event server did not answer in time; try again."))
        if self._sent or self._gathered:
            self._looking = loop.call_later(LOOK_S, self._look)
