"""Whatever the frame, the answer is an answer or a refusal, and the server goes on."""

from __future__ import annotations

import json
import random

import grpc
import grpc.aio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primitives.blobs import rpc as blobs
from primitives.config import rpc as config
from primitives.store import rpc as store
from tests.primitives.store.conftest import Client, served

SERVICES = {"store": store.METHODS | blobs.METHODS, "config": config.METHODS}
PATHS = [
    f"/{service}.{endpoint.replace('.', '/')}"
    for service, methods in SERVICES.items()
    for endpoint in methods
    if endpoint != "Revisions.Watch"
]
GRACIOUS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
TEXT = st.text(max_size=20)
NUMBER = st.integers(-(2**65), 2**65) | st.floats() | st.booleans() | st.none()
JSON = st.recursive(TEXT | NUMBER, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


def fields(message, depth: int = 0):
    """A strategy for JSON that is nearly a message of this type."""
    values = {}
    for field in message.fields:
        if field.message_type and depth < 3 and not field.message_type.GetOptions().map_entry:
            values[field.name] = fields(field.message_type, depth + 1) | JSON
        else:
            values[field.name] = TEXT | NUMBER | JSON
    return st.fixed_dictionaries({}, optional=values)


async def outcome(channel: grpc.aio.Channel, path: str, frame: bytes, metadata) -> grpc.StatusCode:
    """How a call with this one frame ends."""
    call = channel.stream_stream(path)(iter([frame]), metadata=metadata, timeout=10)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        if error.code() not in GRACIOUS:
            pytest.fail(f"{path} with {frame!r}: {error.details()}")
    return await call.code()


@pytest.fixture
def frames() -> list[tuple[str, bytes, bool]]:
    """Many (path, frame, whether it is JSON), drawn once."""
    drawn: list[tuple[str, bytes, bool]] = []
    for path in PATHS:
        service, endpoint = path[1:].split(".", 1)
        message = SERVICES[service][endpoint.replace("/", ".")].request

        @settings(max_examples=40, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(binary=st.binary(max_size=60), document=fields(message.DESCRIPTOR))
        def draw(path: str, binary: bytes, document) -> None:
            drawn.append((path, binary, False))
            drawn.append((path, binary, True))
            drawn.append((path, json.dumps(document).encode(), True))

        draw(path)
    return drawn


def damaged(path: str, chance: random.Random) -> bytes:
    """A good frame with some bits turned."""
    service, endpoint = path[1:].split(".", 1)
    message = SERVICES[service][endpoint.replace("/", ".")].request()
    for field in message.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING and not field.is_repeated:
            setattr(message, field.name, "a.b")
    frame = bytearray(message.SerializeToString() or b"\x0a\x01a")
    for _ in range(3):
        frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
    return bytes(frame)


async def test_any_frame_is_answered_or_refused(namespaces, frames, tmp_path_factory, settings, tmp_path):
    settings.MICRO_BLOB_FOLDER = tmp_path / "blobs"
    chance = random.Random(1)  # noqa: S311
    frames += [(path, damaged(path, chance), False) for path in PATHS for _ in range(40)]
    async with served(f"unix:{tmp_path_factory.mktemp('s') / 's.sock'}", SERVICES) as channel:
        shop = Client(channel, "shop")
        await shop.write("still", b"there", table="safe")
        for path, frame, is_json in frames:
            kind = [("x-content-type", "application/grpc+json")] if is_json else []
            await outcome(channel, path, frame, [*shop.metadata, *kind])
        assert (await shop.read("still", table="safe"))[0].value == b"there"
    assert len(frames) > 1000
