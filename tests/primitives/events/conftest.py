"""Two namespaces, and words for what events do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from micro.proto import events_pb2 as pb

SECOND = 10**9
JOE = "joe@shop"


class Consumer:
    """An open Consume stream."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def next(self, within_s: float = 5.0) -> pb.Event:
        return await asyncio.wait_for(self._call.read(), within_s)

    async def payloads(self, count: int, within_s: float = 10.0) -> list[bytes]:
        async with asyncio.timeout(within_s):
            return [(await self._call.read()).payload for _ in range(count)]

    async def is_silent(self, for_s: float = 0.4) -> bool:
        """Whether nothing comes; a consumer that was asked this cannot be read again."""
        try:
            await asyncio.wait_for(self._call.read(), for_s)
        except TimeoutError:
            return True
        return False

    async def ack(self, event: pb.Event, success: bool = True, delay_s: float = 0) -> None:
        await self._call.write(pb.AckRequest(id=event.id, success=success, delay=int(delay_s * SECOND)))

    async def send(self, payload: bytes) -> None:
        await self._call.write(payload)

    def leave(self) -> None:
        self._call.cancel()


class Events:
    """The methods of events as an account of `token` calls them."""

    def __init__(self, sidecar: Any, token: str = JOE) -> None:
        self._sidecar, self._token = sidecar, token

    def of(self, token: str) -> Events:
        return Events(self._sidecar, token)

    async def publish(self, topic: str = "orders", payload: bytes = b"", **fields: Any) -> pb.PublishResponse:
        request = pb.PublishRequest(topic=topic, payload=payload, **fields)
        return await self._call("Stream/Publish", request, pb.PublishResponse)

    async def publish_all(self, payloads: list[bytes], topic: str = "orders") -> None:
        for payload in payloads:
            await self.publish(topic, payload)

    async def consume(self, topic: str = "orders", *, settle: bool = True, **fields: Any) -> Consumer:
        """A consumer that is there: a nameless one hears of what is published from now on."""
        fields.setdefault("auto_ack", "ack_wait" not in fields)
        call = self._sidecar.stream("/events.Stream/Consume", pb.Event, token=self._token)
        await call.write(pb.ConsumeRequest(topic=topic, **fields))
        if settle:
            await self._settle()
        return Consumer(call)

    async def _settle(self) -> None:
        """Let what was asked before happen, however slow the machine: it takes fewer round trips than this."""
        await asyncio.sleep(0.05)
        for _ in range(8):
            await self.read("nothing here")

    async def read(self, topic: str = "orders", **fields: Any) -> pb.ReadResponse:
        return await self._call("Store/Read", pb.ReadRequest(topic=topic, **fields), pb.ReadResponse)

    async def groups(self, **fields: Any) -> list[pb.Group]:
        answer = await self._call("Groups/List", pb.ListGroupsRequest(**fields), pb.ListGroupsResponse)
        return list(answer.groups)

    async def delete_group(self, topic: str, name: str, **fields: Any) -> None:
        await self._call(
            "Groups/Delete", pb.DeleteGroupRequest(topic=topic, name=name, **fields), pb.DeleteGroupResponse
        )

    async def dead(self, **fields: Any) -> list[pb.DeadLetter]:
        answer = await self._call("DeadLetters/Read", pb.ReadDeadLettersRequest(**fields), pb.ReadDeadLettersResponse)
        return list(answer.letters)

    async def change_dead(self, verb: str, **fields: Any) -> int:
        request = pb.ChangeDeadLettersRequest(**fields)
        return (await self._call(f"DeadLetters/{verb}", request, pb.ChangeDeadLettersResponse)).count

    async def _call(self, method: str, request: Any, returns: Any) -> Any:
        return await self._sidecar.call(f"/events.{method}", request, returns, token=self._token)


@pytest.fixture
def events(namespaces, sidecar) -> Events:
    """As joe of shop."""
    return Events(sidecar)
