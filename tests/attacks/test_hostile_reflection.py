"""A replica's own reflection answers with more than anybody can hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from bombs import long_names
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from measuring import watched
from server import Server, eventually

MOST_MB = 100
MAIN = '''
import os
from concurrent import futures
from pathlib import Path

import grpc
import micro  # brings grpcio

FILE = Path("file.bin").read_bytes()


def field(number, content):
    """A length-delimited field."""
    length, size = len(content), b""
    while True:
        size += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
        length >>= 7
        if not length:
            return bytes([number << 3 | 2]) + size + content


SERVICES = field(6, field(1, field(1, b"bomb.S")))
ANSWER = field(4, field(1, FILE))


def reflect(requests, context):
    for question in requests:
        while True:
            yield SERVICES if b"\\x3a" in question[:1] else ANSWER
            if not Path("endless").exists():
                break


def hello(request, context):
    return b'{"msg": "Hello"}'


class Handler(grpc.GenericRpcHandler):
    def service(self, call):
        if "ServerReflectionInfo" in call.method:
            return grpc.stream_stream_rpc_method_handler(reflect)
        if call.method.endswith("S/Hello"):
            return grpc.unary_unary_rpc_method_handler(hello)


server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((Handler(),))
server.add_insecure_port(os.environ["MICRO_SERVICE_ADDRESS"])
server.start()
server.wait_for_termination()
'''


def write(folder: Path, content: bytes, *, endless: bool = False) -> Path:
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    (folder / "file.bin").write_bytes(content)
    if endless:
        (folder / "endless").touch()
    return folder


def status_line(server: Server, name: str) -> str:
    return next(line for line in server.micro("status", name).stdout.splitlines() if line.startswith(name))


BOMB = FileDescriptorSet.FromString(long_names()).file[0].SerializeToString()
CASES = {  # what the reflection answers with, and why that is left out
    "endless": (b"x" * 3_900_000, "more than 1088 KiB in one answer"),
    "again": (b"x" * 900_000, ""),  # the first answer is heard, and is no file
    "names": (BOMB, "more than 255"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_service_whose_reflection_is_too_much_serves_in_frames_and_its_status_says_so(
    attacked, mallory, tmp_path, name
):
    content, reason = CASES[name]
    with watched(attacked) as peaks:
        folder = write(tmp_path / name, content, endless=name != "names")
        mallory.micro("run", "--name", name, str(folder))
        eventually(lambda: mallory.status(name) == "running", 60, f"{name} runs")
        answer = attacked.get(f"/{name}/S/Hello", headers={"Micro-Namespace": "mallory"})
    assert answer.json() == {"msg": "Hello"}
    assert reason in status_line(mallory, name)
    mallory.micro("kill", name)
    for process in peaks.most:
        assert peaks.grown(process) < MOST_MB, peaks
        assert peaks.restarts(process) == 0
