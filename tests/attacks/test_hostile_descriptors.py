"""A tenant registers descriptors that are small to send and large to expand."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from bombs import BOMBS, own_type
from conftest import MALLORYS_SECRET
from measuring import watched
from server import Server, eventually

from micro.proto import registry_pb2

MOST_MB = 150  # that a process may grow under all of it; the attacks took gigabytes
FULL_MB = 300  # that one may grow under the worst namespace
LEASE_S = 120


@pytest.fixture
def channel(mallory: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{mallory.proxy_port}") as channel:
        yield channel


@pytest.fixture
def metadata(mallory: Server) -> list[tuple[str, str]]:
    who = {"id": "owner", "secret": MALLORYS_SECRET, "options": {"namespace": "mallory"}}
    token = mallory.call("auth", "Auth.Token", who)["token"]
    return [("micro-namespace", "micro"), ("authorization", f"Bearer {token['access_token']}")]  # type: ignore[index]


def register(channel, metadata, name: str, descriptors: bytes, *, version: str = "", id: str = "") -> str:
    """How a registration ends: blank, or the text of the refusal."""
    call = channel.unary_unary("/registry.Registry/Register", registry_pb2.Service.SerializeToString, bytes)
    node = {"id": id or f"{name}-1", "address": "127.0.0.1:4999"}
    lease = {"ttl": LEASE_S}
    service = registry_pb2.Service(name=name, version=version, nodes=[node], options=lease, descriptors=descriptors)
    try:
        call(service, metadata=metadata, timeout=20)
    except grpc.RpcError as error:
        return error.details() or str(error.code())
    return ""


def get(channel, metadata, name: str) -> registry_pb2.GetResponse:
    call = channel.unary_unary(
        "/registry.Registry/GetService",
        registry_pb2.GetRequest.SerializeToString,
        registry_pb2.GetResponse.FromString,
    )
    request = registry_pb2.GetRequest(service=name, options={"domain": "mallory", "descriptors": True})
    return call(request, metadata=metadata, timeout=20)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_takes_no_memory_and_nobody_is_started_anew(attacked, channel, metadata, bomb):
    descriptors = BOMBS[bomb]()
    with watched(attacked) as peaks:
        refusal = register(channel, metadata, "bomb", descriptors)
        if not refusal:
            assert get(channel, metadata, "bomb").ByteSize() < 1_000_000
        fresh = f"after-{bomb.replace(' ', '-')}"
        assert register(channel, metadata, fresh, b"") == ""
        assert attacked.get(f"/{fresh}/none").status_code < 600
        eventually(lambda: is_routed(attacked, fresh), 10, "the gateway takes what is registered after it")
    for name in peaks.most:
        assert peaks.grown(name) < MOST_MB, f"{bomb}: {peaks}"
        assert peaks.restarts(name) == 0, f"{bomb}: {name}"
    assert attacked.is_running()


def is_routed(attacked: Server, service: str, path: str = "X/Call") -> bool:
    """Whether the gateway knows a service of mallory's: nobody answers behind it."""
    answer = attacked.get(f"/{service}/{path}", headers={"Micro-Namespace": "mallory"})
    return answer.status_code == 503


def test_what_cannot_be_taken_is_refused_with_the_limit_that_it_meets(channel, metadata):
    assert "more than 255 characters" in register(channel, metadata, "bomb", BOMBS["long names"]())
    assert "more than 200 gRPC services" in register(channel, metadata, "bomb", BOMBS["many services"]())
    assert "more than 500 files" in register(channel, metadata, "bomb", BOMBS["a chain of imports"]())


def test_a_request_of_nothing_but_empty_parts_is_refused_before_it_is_parsed(attacked, channel, metadata):
    call = channel.unary_unary("/registry.Registry/Register", bytes, bytes)
    with watched(attacked) as peaks, pytest.raises(grpc.RpcError, match="more than 50000 parts"):
        call(b"\x22\x00" * (7 << 20), metadata=metadata, timeout=30)
    assert peaks.grown("sidecar") < MOST_MB, peaks


def test_many_versions_of_one_small_bomb_are_told_in_an_answer_that_is_bounded(attacked, channel, metadata):
    descriptors = own_type(fields=22, methods=50)
    with watched(attacked) as peaks:
        for number in range(100):
            refusal = register(channel, metadata, "many", descriptors, version=f"v{number}", id=f"many-{number}")
        assert get(channel, metadata, "many").ByteSize() < 4 << 20
    assert refusal == ""
    assert peaks.grown("sidecar") < MOST_MB, peaks


def test_a_namespace_full_of_interfaces_is_bounded_where_envoy_has_to_hold_them(attacked, channel, metadata):
    descriptors = own_type(fields=2, methods=1000)
    with watched(attacked) as peaks:
        refusals = [register(channel, metadata, f"full{number}", descriptors) for number in range(25)]
        eventually(lambda: is_routed(attacked, "full1", "S/M0"), 20, "the gateway has taken them")
    assert refusals[0] == ""
    assert "may tell" in refusals[-1]
    for name in peaks.most:
        assert peaks.grown(name) < FULL_MB, peaks
