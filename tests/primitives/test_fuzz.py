"""Whatever comes in a frame, of every method of every service: an answer or a refusal, and the server goes on."""

# ruff: noqa: F811 - the fixture `whole` is imported
from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micro.proto import debug_pb2, store_pb2
from transport.methods import Method

from .whole import JSON, Whole, whole  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db  # so that there is a database; what the sidecar sees is committed

EXAMPLES = 12  # of each kind for each method
NEVER = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "UNAUTHENTICATED", "TOO LATE"}
DEPTH = 3
TEXT = st.text(max_size=20) | st.sampled_from(
    ["", "\0", "*", ">", "../x", "a" * 1500, "🦀", "hidden", "rival", "micro"]
)
NUMBER = st.integers(-(2**65), 2**65) | st.floats() | st.booleans() | st.none()
ANY_JSON = st.recursive(
    TEXT | NUMBER, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)


def documents(descriptor: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """JSON that is nearly a message of this type."""
    values = {}
    for field in descriptor.fields:
        nested = field.message_type
        if nested is not None and depth < DEPTH and not nested.GetOptions().map_entry:
            inner = documents(nested, depth + 1)
            values[field.name] = (st.lists(inner, max_size=2) if field.is_repeated else inner) | ANY_JSON
        else:
            values[field.name] = TEXT | NUMBER | ANY_JSON
    return st.fixed_dictionaries({}, optional=values)


def messages(message: type[Message]) -> st.SearchStrategy[bytes]:
    """Messages that are well formed, with extreme values in their fields."""

    def build(seed: int) -> bytes:
        chance = random.Random(seed)  # noqa: S311
        made = message()
        _fill(made, chance, depth=0)
        return made.SerializeToString()

    return st.integers(0, 2**32).map(build)


def _fill(message: Message, chance: random.Random, *, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.3 or (field.message_type and field.message_type.GetOptions().map_entry):
            continue
        if field.message_type is not None:
            if depth < DEPTH:
                held = getattr(message, field.name)
                nested = held.add() if field.is_repeated else held
                nested.SetInParent()
                _fill(nested, chance, depth=depth + 1)
            continue
        value = _value(field, chance)
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)


def _value(field: Any, chance: random.Random) -> Any:
    if field.type == field.TYPE_STRING:
        return chance.choice(["", "a", "hidden", "rival", "*", "x\0", "é" * 600, "a.b/c", "\u202e", "127.0.0.1:1"])
    if field.type == field.TYPE_BYTES:
        return chance.choice([b"", b"\0\xff", b"{}", b"x" * 3000])
    if field.type == field.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == field.TYPE_ENUM:
        return chance.choice([0, 1, 2, 99])
    is_small = field.type in (field.TYPE_INT32, field.TYPE_SINT32, field.TYPE_UINT32)
    is_unsigned = field.type in (field.TYPE_UINT32, field.TYPE_UINT64)
    bits = (32 if is_small else 64) - (0 if is_unsigned else 1)
    least = 0 if is_unsigned else -(2**bits)
    return chance.choice([least, 2**bits - 1, 0, 1, 2])


def damaged(frame: bytes, seed: int) -> bytes:
    """With some bits turned, and perhaps cut off."""
    chance, changed = random.Random(seed), bytearray(frame or b"\x0a\x01a")  # noqa: S311
    for _ in range(3):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed[: chance.randrange(1, len(changed) + 1)])


def drawn(method: Method) -> list[tuple[bytes, bool]]:
    """Many (frame, whether it is JSON) for a method, always the same."""
    found: list[tuple[bytes, bool]] = []

    @settings(
        max_examples=EXAMPLES, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(
        binary=st.binary(max_size=60),
        document=documents(method.request.DESCRIPTOR),
        good=messages(method.request),
        seed=st.integers(0, 2**32),
    )
    def draw(binary: bytes, document: Any, good: bytes, seed: int) -> None:
        text = json.dumps(document).encode()
        frames = [(binary, False), (binary, True), (text, True), (damaged(text, seed), True)]
        found.extend([*frames, (good, False), (damaged(good, seed), False)])

    draw()
    return found


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """Deployments wait in their rows; chosen secrets are not hashed for a tenth of a second each."""
    monkeypatch.setattr("runtime.tasks.send", lambda **_ids: None)
    monkeypatch.setattr("primitives.auth.secrets.seal_chosen", lambda _secret: "no hash, no wait")


async def test_any_frame_of_any_method_is_answered_or_refused(whole: Whole):
    gate = asyncio.Semaphore(24)
    async with whole.channel() as channel:
        token = await whole.token(channel, "shop", "joe", "joe-secret")

        async def send(name: str, frame: bytes, as_json: bool) -> str:
            patience_s = 0.15 if whole.is_live(name) else 20.0
            async with gate:
                answer = await whole.send(
                    channel, name, [frame], token=token, headers=JSON if as_json else {}, patience_s=patience_s
                )
            if name == "auth.Auth.Token" and answer.code == "UNAUTHENTICATED":
                return "OK"  # a wrong secret
            assert answer.code not in NEVER, (name, frame, as_json, answer)
            return answer.code

        calls = [(name, frame, as_json) for name, method in whole.methods.items() for frame, as_json in drawn(method)]
        codes = await asyncio.gather(*(send(*call) for call in calls))
        assert len(calls) > 3000
        assert {"OK", "INVALID_ARGUMENT"} < set(codes)
        health = await whole.send(channel, "debug.Debug.Health", [debug_pb2.HealthRequest()])
        assert debug_pb2.HealthResponse.FromString(health.frames).status == "ok"
        record = {"key": "still", "value": b"there"}
        assert (
            await whole.send(channel, "store.Store.Write", [store_pb2.WriteRequest(record=record)], token=token)
        ).code == "OK"


async def test_streams_of_any_frames_end_in_an_answer_or_a_refusal(whole: Whole):
    """What comes after a good beginning."""
    async with whole.channel() as channel:
        token = await whole.token(channel, "shop", "joe", "joe-secret")
        for name, method in whole.methods.items():
            if method.kind.name in ("CLIENT_STREAM", "BIDI"):
                first = next(frame for frame, as_json in drawn(method) if not as_json)
                for frames in (
                    [],
                    [b""],
                    [b"", b"\xff\xff"],
                    [first, first],
                    [b"\x0a\x01a", b"\xff"],
                    [b"\x0a\x01a"] * 50,
                ):
                    answer = await whole.send(channel, name, frames, token=token, patience_s=1)
                    assert answer.code not in NEVER - {"TOO LATE"}, (name, frames, answer)


async def test_frames_that_are_too_large_are_refused(whole: Whole):
    async with whole.channel() as channel:
        token = await whole.token(channel, "shop", "joe", "joe-secret")
        for name in whole.methods:
            answer = await whole.send(channel, name, [b"\0" * (17 * 1024 * 1024)], token=token)
            assert answer.code in ("RESOURCE_EXHAUSTED", "CANCELLED"), (name, answer)
