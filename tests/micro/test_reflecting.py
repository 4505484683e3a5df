"""Asking a server for its reflection that answers as it likes."""

from __future__ import annotations

import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2 as wire

from micro import reflecting

Answers = Callable[[wire.ServerReflectionRequest], Iterator[bytes]]


@contextmanager
def told_by(answers: Answers) -> Iterator[grpc.Channel]:
    """A channel to a server whose reflection is `answers` to each question."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            def reflect(requests: Iterator[bytes], _context: object) -> Iterator[bytes]:
                for request in requests:
                    yield from answers(wire.ServerReflectionRequest.FromString(request))

            return grpc.stream_stream_rpc_method_handler(reflect) if ".v1." in (call.method or "") else None

    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=reflecting.CHANNEL_OPTIONS) as channel:
        yield channel
    server.stop(0)


def listed(*names: str) -> bytes:
    found = wire.ListServiceResponse(service=[wire.ServiceResponse(name=name) for name in names])
    return wire.ServerReflectionResponse(list_services_response=found).SerializeToString()


def files(*contents: FileDescriptorProto | bytes) -> bytes:
    packed = [each if isinstance(each, bytes) else each.SerializeToString() for each in contents]
    found = wire.FileDescriptorResponse(file_descriptor_proto=packed)
    return wire.ServerReflectionResponse(file_descriptor_response=found).SerializeToString()


def always(services: bytes, file: Callable[[], bytes], *, endless: bool = False) -> Answers:
    def answers(question: wire.ServerReflectionRequest) -> Iterator[bytes]:
        while True:
            yield services if question.HasField("list_services") else file()
            if not endless:
                return

    return answers


def importing(count: int) -> Callable[[], bytes]:
    """Files that import others without end."""
    numbers = iter(range(10**9))

    def file() -> bytes:
        number = next(numbers)
        wanted = [f"{number}-{each}.proto" for each in range(count)]
        return files(FileDescriptorProto(name=f"f{number}.proto", dependency=wanted))

    return file


EXCESSIVE = {
    "answers too large": (always(listed("a.S"), lambda: b"x" * 3_900_000, endless=True), "in one answer"),
    "too many services": (always(listed(*(f"a.S{n}" for n in range(300))), lambda: files(b"")), "200 gRPC services"),
    "a large file again and again": (
        always(
            listed(*(f"a.S{n}" for n in range(100))),
            lambda: files(FileDescriptorProto(name="a.proto", package="x" * 900_000)),
        ),
        "in all answers",
    ),
    "imports without end": (always(listed("a.S"), importing(3)), "500 files"),
    "many imports at once": (always(listed("a.S"), importing(20_000)), "1024 KiB"),
    "blank files": (always(listed("a.S"), lambda: b"\x22\x84\x80\x20" + b"\x0a\x00" * 0x40002), "parts"),
    "blank messages in a file": (always(listed("a.S"), lambda: files(b"\x22\x00" * 400_000)), "parts"),
    "different large files": (
        always(
            listed(*(f"a.S{n}" for n in range(100))),
            lambda: files(FileDescriptorProto(name=str(random.random()), package="x" * 400_000)),  # noqa: S311
        ),
        "1024 KiB",
    ),
}


@pytest.mark.parametrize("case", EXCESSIVE)
def test_a_server_that_tells_too_much_is_not_heard_out(case):
    answers, limit = EXCESSIVE[case]
    tracemalloc.start()
    with told_by(answers) as channel, pytest.raises(reflecting.Excessive, match=limit):
        reflecting.describe(channel)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60 << 20


def test_a_server_that_answers_slowly_is_given_up(monkeypatch):
    monkeypatch.setattr(reflecting, "PATIENCE_S", 0.5)

    def slowly() -> bytes:
        time.sleep(0.2)
        return files(FileDescriptorProto(name="a.proto"))

    with told_by(always(listed(*(f"a.S{n}" for n in range(100))), slowly)) as channel:
        began = time.monotonic()
        with pytest.raises(reflecting.Excessive, match="longer than"):
            reflecting.describe(channel)
        assert time.monotonic() - began < 5


def test_an_endless_row_of_small_answers_is_one_answer():
    file = FileDescriptorProto(name="a.proto", package="a")
    with told_by(always(listed("a.S"), lambda: files(file), endless=True)) as channel:
        assert b"a.proto" in reflecting.describe(channel)
    assert threading.active_count() < 200


def test_whatever_bytes_a_server_answers_with_it_is_described_or_not():
    chance = random.Random(5)  # noqa: S311 - the same bytes in every run
    good = files(FileDescriptorProto(name="a.proto", package="a", dependency=["b.proto"]))

    def garbled() -> bytes:
        bad = bytearray(good)
        for _ in range(chance.randint(0, 3)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        return bytes(bad)

    with told_by(always(listed("a.S", "a.T"), garbled)) as channel:
        for _ in range(60):
            assert isinstance(reflecting.describe(channel), bytes)
