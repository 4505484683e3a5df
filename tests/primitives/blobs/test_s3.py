"""The same calls before a real S3: SeaweedFS, started here."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import grpc
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.storage import storages
from django.test import override_settings

from tests.primitives.blobs.conftest import ONE_MIB, files
from tests.primitives.store.conftest import refused

KEY, SECRET = "test", "secret-of-the-test"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def s3(tmp_path_factory) -> Iterator[str]:
    """The endpoint of an S3 with the bucket `blobs`."""
    folder = tmp_path_factory.mktemp("weed")
    identity = {
        "name": "test",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    *ports, port, grpc_port = free_ports(len(names) + 2)
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder}",
        "-s3",
        f"-s3.port={port}",
        f"-s3.port.grpc={grpc_port}",
        f"-s3.config={folder / 's3.json'}",
        "-master.volumeSizeLimitMB=64",
        *(f"-{name}={number}" for name, number in zip(names, ports, strict=True)),
    ]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _make_bucket(endpoint, deadline=time.monotonic() + 60)
        yield endpoint
    finally:
        server.kill()  # asked kindly, it waits for half a minute
        server.wait(20)


def _make_bucket(endpoint: str, *, deadline: float) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    while True:
        try:
            client.create_bucket(Bucket="blobs")
            client.put_object(Bucket="blobs", Key="probe", Body=b"x")
            client.delete_object(Bucket="blobs", Key="probe")
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


@pytest.fixture
def file_storage(s3, folder, settings, monkeypatch):
    """In place of the files: what the settings give for MICRO_BLOB_STORAGE=s3."""
    from project.settings import blobs

    for name, value in {
        "MICRO_BLOB_S3_BUCKET": "blobs",
        "MICRO_BLOB_S3_ENDPOINT": s3,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }.items():
        monkeypatch.setenv(name, value)
    settings.MICRO_BLOB_FOLDER = folder
    with override_settings(STORAGES=settings.STORAGES | {"blobs": blobs._s3()}):
        yield storages["blobs"]


def objects(storage) -> list[str]:
    return [found.key for found in storage.bucket.objects.all()]


async def test_blobs_live_in_a_bucket(shop, rival, file_storage, folder):
    pieces = [os.urandom(ONE_MIB) for _ in range(20)]  # more than one part
    info = await shop.write("k/ü *", pieces, contentType="text/plain")
    assert info.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()
    data, found = await shop.read("k/ü *")
    assert data == b"".join(pieces)
    assert found == info
    assert len(objects(file_storage)) == 1
    await shop.write("k/ü *", [b"new"])
    assert (await shop.read("k/ü *"))[0] == b"new"
    assert len(objects(file_storage)) == 1
    async with refused(grpc.StatusCode.NOT_FOUND):
        await rival.read("k/ü *")
    await shop.delete("k/ü *")
    assert objects(file_storage) == []
    assert files(folder) == []


async def test_an_object_that_is_not_there_is_not_found(shop, file_storage):
    await shop.write("k", [b"v"])
    for name in objects(file_storage):
        file_storage.delete(name)
    async with refused(grpc.StatusCode.NOT_FOUND, match="Blob not found"):
        await shop.read("k")


@pytest.mark.usefixtures("file_storage")
async def test_a_bucket_that_is_away_is_unavailable_and_what_was_refused_leaves_no_blob(
    shop, folder, settings, monkeypatch
):
    from project.settings import blobs

    await shop.write("k", [b"v"])
    monkeypatch.setenv("MICRO_BLOB_S3_ENDPOINT", f"http://127.0.0.1:{free_ports(1)[0]}")
    with override_settings(STORAGES=settings.STORAGES | {"blobs": blobs._s3()}):
        started = time.monotonic()
        async with refused(grpc.StatusCode.UNAVAILABLE, match="storage of blobs"):
            await shop.read("k")
        async with refused(grpc.StatusCode.UNAVAILABLE, match="storage of blobs"):
            await shop.write("new", [b"v"])
        assert time.monotonic() - started < 10
    assert await shop.keys() == ["k"]
    assert files(folder) == []
