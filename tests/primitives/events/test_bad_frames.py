"""Frames that mean nothing: refused, never INTERNAL, and the server goes on."""

from __future__ import annotations

import asyncio
import json
import random

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micro.proto import events_pb2 as pb
from primitives.events.rpc import METHODS

pytestmark = pytest.mark.django_db

FINE = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,  # a flipped bit made another field the namespace
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}
SEEDS = {
    "Stream.Publish": pb.PublishRequest(topic="t", metadata={"a": "b"}, payload=b"x", timestamp=7, id="i"),
    "Stream.Consume": pb.ConsumeRequest(topic="t", group="g", ack_wait=10**9, retry_limit=3, after=1, prefetch=3),
    "Store.Read": pb.ReadRequest(topic="t", limit=3, offset=1, after=2),
    "Store.Write": pb.WriteRequest(ttl=3),
    "Groups.List": pb.ListGroupsRequest(topic="t"),
    "Groups.Delete": pb.DeleteGroupRequest(topic="t", name="g"),
    "DeadLetters.Read": pb.ReadDeadLettersRequest(topic="t", group="g", limit=3, after=1),
    "DeadLetters.Redrive": pb.ChangeDeadLettersRequest(topic="t", ids=[1, 2]),
    "DeadLetters.Delete": pb.ChangeDeadLettersRequest(topic="t", ids=[1, 2]),
}


async def outcome(sidecar, name, frame, *, wait_s=0.3, **metadata):
    """The status that a frame ends with; None when it was understood."""
    call = sidecar.stream(f"/events.{name.replace('.', '/')}", METHODS[name].response, **metadata)
    try:
        await call.write(frame)
        await call.done_writing()
        await asyncio.wait_for(call.read(), wait_s if name == "Stream.Consume" else 5)
    except TimeoutError:
        call.cancel()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


async def test_flipped_bits_are_refused_or_understood(events, sidecar):
    assert set(SEEDS) == set(METHODS)
    chance = random.Random(7)  # noqa: S311
    for name, seed in SEEDS.items():
        frames = []
        for _ in range(40):
            frame = bytearray(seed.SerializeToString())
            for _ in range(chance.randint(1, 4)):
                if frame:
                    frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
            frames.append(bytes(frame))
        codes = await asyncio.gather(*(outcome(sidecar, name, frame) for frame in frames))
        assert {code for code in codes if code} <= FINE, name
    await events.publish()


@pytest.mark.parametrize("name", ["Stream.Publish", "Store.Read", "DeadLetters.Delete", "Stream.Consume"])
async def test_any_bytes_are_refused_or_understood(events, sidecar, name):
    loop = asyncio.get_running_loop()
    frames: list[bytes] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200))
    def collect(frame):
        frames.append(frame)

    await loop.run_in_executor(None, collect)
    codes = await asyncio.gather(*(outcome(sidecar, name, frame) for frame in frames))
    assert {code for code in codes if code} <= FINE
    await events.publish()


@pytest.mark.parametrize(
    "document",
    [
        "", "[]", "null", "{", "7", '"x"', "{}", '{"topic":7}', '{"topic":null}', '{"topic":"a","topic":"b"}',
        '{"topic":"\\u0000"}', '{"topic":"\\ud800"}', '{"topic":"t","payload":"!!!"}', '{"topic":"t","payload":"YQ"}',
        '{"topic":"t","timestamp":"9223372036854775808"}', '{"topic":"t","timestamp":-1}',
        '{"topic":"t","timestamp":1e400}',
        '{"topic":"t","timestamp":NaN}', '{"topic":"t","unknown":1}', '{"topic":"t","metadata":{"a":1}}',
        '{"topic":"t","metadata":[]}', "\ufeff{}", '{"topic":' + "[" * 10_000 + "]" * 10_000 + "}",
    ],
)  # fmt: skip
async def test_json_that_means_nothing_is_refused(events, sidecar, document):
    for name in ("Stream.Publish", "Store.Read", "Stream.Consume"):
        frame = document.encode(errors="surrogatepass")
        code = await outcome(sidecar, name, frame, x_content_type="application/json")
        assert code is None or code in FINE


async def test_json_frames_publish_and_consume(events, sidecar):
    call = sidecar.channel.stream_stream("/events.Stream/Consume")(
        metadata=(("authorization", "Bearer joe@shop"), ("x-content-type", "application/json"))
    )
    await call.write(json.dumps({"topic": "orders", "group": "g", "ack_wait": "1000000000"}).encode())
    await events._settle()
    await events.publish(payload=b"\x00\xff", metadata={"k": "v"})
    event = json.loads(await asyncio.wait_for(call.read(), 5))
    assert (event["payload"], event["metadata"], event["attempt"]) == ("AP8=", {"k": "v"}, "1")
    await call.write(json.dumps({"id": event["id"], "success": True}).encode())
    await events._settle()
    assert [group.unacknowledged for group in await events.groups()] == [0]


async def test_a_nul_or_broken_text_in_a_topic_is_refused(events, sidecar):
    for frame in (b"\x0a\x01\x00", b"\x0a\x01\xff", b"\x0a\x05a\x00b"):
        assert await outcome(sidecar, "Stream.Publish", frame) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_frame_over_the_limit_is_refused(events, sidecar):
    request = pb.PublishRequest(topic="t", payload=b"x" * (17 * 1024 * 1024))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sidecar.call("/events.Stream/Publish", request, pb.PublishResponse)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await events.publish()
