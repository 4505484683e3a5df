"""A tenant that sends sources and never deploys them."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest
from crowd import token
from server import ROOT, Server

from micro.proto import runtime_pb2

SMALL_BYTES = 3 << 20
HOARDERS_SECRET = "a long secret of a hoarder's"
OPERATIONS = "from tenants.operations import *; from tenants.models import Namespace; "


def as_operator(server: Server, words: str) -> None:
    """Run what the operator's page on plans says."""
    command = [sys.executable, ROOT / "manage.py", "shell", "-c", OPERATIONS + words]
    subprocess.run(command, env=server.env, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def hoarders(attacked: Server) -> str:
    """A token of a tenant's who has sent nothing yet, and whose plan has room for 3 MiB of sources."""
    attacked.user_of("hoarder", secret=HOARDERS_SECRET)
    plan = f"set_plan(name='small', upload_bytes={SMALL_BYTES})"
    as_operator(attacked, f"give_plan(namespace=Namespace.objects.get(slug='hoarder'), plan={plan})")
    return token(attacked, "owner", HOARDERS_SECRET, "hoarder")


def send(server: Server, token: str, name: str, size_bytes: int) -> str:
    """Send an archive of zeros, which is an empty one; OK or what is said to it."""
    service = runtime_pb2.Service(name=name)
    pieces = [runtime_pb2.UploadRequest(service=service, data=bytes(1 << 18)) for _ in range(size_bytes >> 18)]
    metadata = (("authorization", f"Bearer {token}"), ("micro-namespace", "micro"))
    with grpc.insecure_channel(f"127.0.0.1:{server.proxy_port}") as channel:
        upload = channel.stream_unary("/runtime.Source/Upload", runtime_pb2.UploadRequest.SerializeToString)
        try:
            upload(iter(pieces), metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            return f"{error.code().name} {error.details()}"  # type: ignore[attr-defined]
    return "OK"


def test_what_is_sent_and_never_deployed_is_bounded_and_takes_nothing_from_others(attacked: Server, hoarders: str):
    said = [send(attacked, hoarders, f"never{number}", (number + 1) << 18) for number in range(6)]
    assert said[0] == "OK"
    assert said[-1].startswith("RESOURCE_EXHAUSTED")
    assert f"may keep {SMALL_BYTES} bytes of sources that were sent" in said[-1]
    operators = token(attacked, "admin", "micro", "micro")
    assert send(attacked, operators, "ours", 1 << 20) == "OK"
    kept = sum(file.stat().st_size for file in (attacked.home / "sources" / "hoarder").iterdir())
    assert kept <= SMALL_BYTES
    assert not list((attacked.home / "tmp").glob("upload-hoarder-*")), "what was refused is gone"


def test_sending_under_one_name_again_and_again_keeps_the_last(attacked: Server, hoarders: str):
    sizes = [(number % 3 + 1) << 18 for number in range(12)]
    said = {send(attacked, hoarders, "never0", size) for size in sizes}
    kept = sum(file.stat().st_size for file in (attacked.home / "sources" / "hoarder").iterdir())
    assert kept <= SMALL_BYTES
    assert said <= {"OK"} or any("RESOURCE_EXHAUSTED" in text for text in said)
