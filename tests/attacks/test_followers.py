"""One account that opens all the streams it can, over gRPC and HTTP, and what its neighbours notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MALLORYS_SECRET
from crowd import Crowd, Door, followers, readers, token
from server import Server, eventually

from micro.proto import broker_pb2, config_pb2, events_pb2, registry_pb2, router_pb2, runtime_pb2, store_pb2

MOST = 250
TALKER = """
import http.server, os
for number in range(200): print("line", number, flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.BaseHTTPRequestHandler).serve_forever()
"""
LOGS = runtime_pb2.LogsRequest(service="talker", stream=True, count=10).SerializeToString()
LIMIT = f"Account 'owner' may have {MOST} streams open at a time; end one first."
EVERY_STREAM = {
    "/runtime.Runtime/Logs": LOGS,
    "/broker.Broker/Subscribe": broker_pb2.SubscribeRequest(topic="t").SerializeToString(),
    "/config.Revisions/Watch": config_pb2.WatchRequest().SerializeToString(),
    "/events.Stream/Consume": events_pb2.ConsumeRequest(topic="t").SerializeToString(),
    "/registry.Registry/Watch": registry_pb2.WatchRequest().SerializeToString(),
    "/router.Router/Watch": router_pb2.WatchRequest().SerializeToString(),
    "/store.Store/List": store_pb2.ListRequest().SerializeToString(),
    "/store.BlobStore/Write": store_pb2.BlobWriteRequest(key="k").SerializeToString(),
    "/runtime.Source/Upload": runtime_pb2.UploadRequest(data=b"x").SerializeToString(),
}


@pytest.fixture(scope="module")
def talker(mallory: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A token of mallory's, who has a service whose log can be followed."""
    folder: Path = tmp_path_factory.mktemp("talker")
    (folder / "main.py").write_text(TALKER)
    (folder / "Procfile").write_text("web: python main.py\n")
    mallory.micro("run", "--name", "talker", folder)
    yield token(mallory, "owner", MALLORYS_SECRET, "mallory")
    mallory.micro("kill", "talker")


async def login_s(server: Server) -> float:
    """How long the operator's login takes."""
    began = time.monotonic()
    await asyncio.to_thread(server.login)
    return time.monotonic() - began


async def test_an_account_follows_so_many_logs_and_logins_go_on(attacked: Server, talker: str):
    async with followers(attacked, talker, "/runtime.Runtime/Logs", LOGS, MOST + 50) as crowd:
        assert len(crowd.open) == MOST
        assert crowd.refused.total() == 50
        assert all("RESOURCE_EXHAUSTED" in told or "Internal error from Core" in told for told in crowd.refused)
        assert any(LIMIT in told for told in crowd.refused)
        assert await login_s(attacked) < 15
        (sidecar,) = attacked.named("manage.py sidecar")
        assert len(sidecar.net_connections()) < 100, "readers share a connection to the event server"


async def test_the_limit_is_one_for_streams_of_every_kind_and_of_this_account_alone(attacked: Server, talker: str):
    operators = token(attacked, "admin", "micro", "micro")
    async with followers(attacked, talker, "/broker.Broker/Subscribe", EVERY_STREAM["/broker.Broker/Subscribe"], 260):
        mallorys, ours = Door(attacked, talker), Door(attacked, operators)
        try:
            for path, request in EVERY_STREAM.items():
                theirs, own = Crowd(), Crowd()
                await mallorys.open(path, request, theirs, within_s=3)
                assert theirs.refused.total() == 1, path
                assert "RESOURCE_EXHAUSTED" in str(theirs.refused) or "Internal error" in str(theirs.refused), path
                await ours.open(path, request, own)
                assert "RESOURCE_EXHAUSTED" not in str(own.refused), (path, own.refused)
        finally:
            await mallorys.close()
            await ours.close()


async def test_streams_that_were_left_make_room(attacked: Server, talker: str):
    for _ in range(2):
        async with followers(attacked, talker, "/runtime.Runtime/Logs", LOGS, MOST) as crowd:
            assert len(crowd.open) > MOST - 20
        await asyncio.sleep(1)
    eventually(attacked.is_ready, 10, "it answers")


async def test_the_web_process_serves_an_account_so_many_streams_and_says_when_to_come_back(
    attacked: Server, talker: str
):
    path = "/v1/services/talker/logs?follow=true"
    async with readers(attacked, talker, path, MOST + 20) as crowd:
        assert len(crowd.open) == MOST
        assert sum(count for told, count in crowd.refused.items() if told.startswith("429")) == 20
        assert all(LIMIT in told for told in crowd.refused)
        assert crowd.retry_after == {"10"}
        assert await asyncio.to_thread(attacked.is_ready)
