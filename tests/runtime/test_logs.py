"""Log files, the stream, and readers, with a real nats-server."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from micro.errors import Unavailable
from runtime import credentials, folders, logfiles, logs, logstreams
from transport import database

pytestmark = pytest.mark.django_db(transaction=True)  # a namespace's plan says how much is kept


@pytest.fixture
def nats_url(nats_server, settings):
    settings.NATS_URL = nats_server
    return nats_server


@pytest.fixture(autouse=True)
async def connections():
    """What a test's loop has opened is closed with it."""
    yield
    await database.close()


@pytest.fixture
def service():
    return uuid4()


@pytest.fixture
def follower(nats_url):
    follower = logfiles.Follower()
    follower.start()
    yield follower
    follower.stop()


def run_log(service) -> Path:
    return folders.run_log("micro", service, uuid4(), uuid4())


async def read(service, count: int = 100, **options: object) -> list[str]:
    return [
        line.text async for line in logs.read(namespace="micro", service_id=service, kind="run", count=count, **options)
    ]


async def read_until(service, expected: list[str], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while (found := await read(service)) != expected:
        assert time.monotonic() < deadline, found[-20:]
        await asyncio.sleep(0.05)


async def test_what_is_written_is_read_in_order_and_the_last_lines_can_be_asked_for(follower, service):
    with run_log(service).open("a") as file:
        file.writelines(f"line {number}\n" for number in range(3000))
    await read_until(service, [f"line {number}" for number in range(3000)][-100:])
    assert await read(service, count=3) == ["line 2997", "line 2998", "line 2999"]


async def test_a_line_is_published_when_it_is_whole(follower, service):
    with run_log(service).open("a") as file:
        file.write("first\nhalf")
        file.flush()
        await read_until(service, ["first"])
        await asyncio.sleep(0.3)
        file.write(" and half\n")
    await read_until(service, ["first", "half and half"])


async def test_the_rest_of_a_log_that_is_done_is_published_and_its_files_go(follower, service):
    path = run_log(service)
    path.write_text("no newline")
    path.with_suffix(".done").touch()
    await read_until(service, ["no newline"])
    deadline = time.monotonic() + 5
    while left := list(path.parent.iterdir()):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.02)


async def test_a_reader_that_follows_gets_new_lines_until_it_leaves(follower, service):
    path = run_log(service)
    path.write_text("old\n")
    await read_until(service, ["old"])
    lines = logs.read(namespace="micro", service_id=service, kind="run", count=1, follow=True)
    assert (await anext(lines)).text == "old"
    with path.open("a") as file:
        file.write("new 1\nnew 2\n")
    assert [(await asyncio.wait_for(anext(lines), 5)).text for _ in range(2)] == ["new 1", "new 2"]
    await lines.aclose()


async def test_lines_since_a_moment_can_be_asked_for(follower, service):
    path = run_log(service)
    path.write_text("before\n")
    await read_until(service, ["before"])
    moment = datetime.now(UTC)
    with path.open("a") as file:
        file.write("after\n")
    await read_until(service, ["before", "after"])
    assert await read(service, since=moment) == ["after"]


async def test_logs_of_another_service_and_of_another_kind_are_not_mixed_in(follower, service):
    other = uuid4()
    run_log(service).write_text("run\n")
    run_log(other).write_text("other\n")
    folders.build_log("micro", service, uuid4()).write_text("build\n")
    await read_until(service, ["run"])
    await read_until(other, ["other"])
    build = logs.read(namespace="micro", service_id=service, kind="build", count=9)
    assert [line.text async for line in build] == ["build"]


async def test_a_follower_that_begins_again_neither_loses_nor_doubles_lines(nats_url, service):
    path, written = run_log(service), 0
    for _round in range(3):
        follower = logfiles.Follower()
        follower.start()
        with path.open("a") as file:
            for _ in range(50):
                file.write(f"{written}\n")
                file.flush()
                written += 1
                await asyncio.sleep(0.002)
        follower.stop()
    follower = logfiles.Follower()
    follower.start()
    await read_until(service, [str(number) for number in range(written)][-100:])
    assert len(await read(service, count=1000)) == written
    follower.stop()


async def test_a_secret_never_reaches_the_stream(follower, service):
    deployment = uuid4()
    path = folders.run_log("micro", service, deployment, uuid4())
    secret = credentials.secret(deployment)
    path.write_text(f"my secret is {secret}!\nbye\n")
    await read_until(service, [f"my secret is {'*' * len(secret)}!", "bye"])


async def test_an_endless_line_and_bytes_that_are_no_text_are_published_in_pieces(follower, service):
    run_log(service).write_bytes(b"x" * 100_000 + b"\n\xff\xfe\n")
    deadline = time.monotonic() + 10
    while not (found := await read(service)) or found[-1] != "\ufffd\ufffd":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert sum(line.count("x") for line in found) == 100_000


async def test_lines_written_while_the_store_is_away_are_published_later(settings, nats_server, service):
    settings.NATS_URL = "nats://127.0.0.1:1"
    follower = logfiles.Follower()
    follower.start()
    run_log(service).write_text("patience\n")
    await asyncio.sleep(0.3)
    with pytest.raises(Unavailable, match="log store is away"):
        await read(service)
    await database.close()
    settings.NATS_URL = nats_server
    await read_until(service, ["patience"])
    follower.stop()


async def test_what_a_killed_service_printed_can_be_purged(follower, service):
    run_log(service).write_text("gone\n")
    await read_until(service, ["gone"])
    await asyncio.to_thread(logstreams.purge, "micro", service)
    assert await read(service) == []


async def test_a_large_file_is_emptied_once_it_is_published_while_its_writer_goes_on(follower, service, monkeypatch):
    monkeypatch.setattr(logfiles, "LARGEST_FILE_BYTES", 1000)
    path = run_log(service)
    writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(writer, b"a" * 2000 + b"\n")
    await read_until(service, ["a" * 2000])
    deadline = time.monotonic() + 5
    while path.stat().st_size:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    os.write(writer, b"after\n")
    os.close(writer)
    await read_until(service, ["a" * 2000, "after"])


async def test_what_follows_in_an_emptied_file_is_published_though_it_looks_like_what_was_there(
    follower, service, monkeypatch
):
    monkeypatch.setattr(logfiles, "LARGEST_FILE_BYTES", 10)
    path = run_log(service)
    for _ in range(2):
        with path.open("a") as file:
            file.write("the same line\n")
        deadline = time.monotonic() + 5
        while path.stat().st_size:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    await read_until(service, ["the same line"] * 2)


async def publish(service, *texts: str, namespace: str = "micro") -> None:
    """Messages as the follower publishes them."""
    client = await logstreams.connect()
    try:
        jetstream = client.jetstream()
        await logstreams.Streams(jetstream).require(namespace)
        waiting = [
            await jetstream.publish_async(logstreams.subject(namespace, service, "run"), text.encode())
            for text in texts
        ]
        await asyncio.gather(*waiting)
    finally:
        await client.close()


@pytest.mark.parametrize("count", [1, 2, 7, 99, 100, 101, 1000])
async def test_the_last_lines_are_found_among_those_of_others_without_reading_all(nats_url, service, count):
    other = uuid4()
    for round in range(3):
        await publish(other, *(["x"] * 150))
        await publish(service, *(f"{round}.{number}" for number in range(100)))
    written = [f"{round}.{number}" for round in range(3) for number in range(100)]
    assert await read(service, count=count) == written[-count:]


async def test_no_lines_are_no_lines(nats_url, service):
    assert await read(service) == []
    await publish(service, "one")
    assert await read(service, count=0) == []


async def test_what_a_reader_begins_with_is_bounded_in_bytes(nats_url, service):
    await publish(service, *("x" * (16 << 10) for _ in range(400)))
    found = await read(service, count=10_000)
    assert sum(map(len, found)) <= logs.MOST_BYTES < sum(map(len, found)) + (16 << 10)


async def test_a_reader_that_is_slow_misses_nothing(nats_url, service):
    await publish(service, "first")
    lines = logs.read(namespace="micro", service_id=service, kind="run", count=1, follow=True)
    assert (await anext(lines)).text == "first"
    written = [str(number) for number in range(5 * logs.KEPT_IN_MEMORY)]
    await publish(service, *written)
    await asyncio.sleep(0.3)
    assert [(await asyncio.wait_for(anext(lines), 5)).text for _ in written] == written
    await lines.aclose()


async def test_what_one_namespace_prints_pushes_out_nothing_of_another_and_no_more_is_kept_than_its_plan_says(
    nats_url, service, settings
):
    settings.MICRO_DEFAULT_LOG_BYTES = 256 << 10
    slug = f"loud{service.hex[:8]}"
    await publish(service, "quiet")
    for _ in range(33):
        await publish(uuid4(), *("x" * (16 << 10) for _ in range(4)), namespace=slug)
    assert await read(service) == ["quiet"]
    client = await logstreams.connect()
    state = (await client.jetstream().stream_info(logstreams.stream(slug))).state
    assert 0 < state.bytes <= 256 << 10
    await client.close()


async def test_a_changed_plan_changes_how_much_is_kept(nats_url, service, settings):
    slug = f"loud{service.hex[:8]}"
    for size in (1 << 20, 2 << 20):
        settings.MICRO_DEFAULT_LOG_BYTES = size
        await publish(service, "x", namespace=slug)
        client = await logstreams.connect()
        assert (await client.jetstream().stream_info(logstreams.stream(slug))).config.max_bytes == size
        await client.close()


async def test_logs_of_the_version_before_are_moved_with_their_times_and_read_on(nats_url, service):
    client = await logstreams.connect()
    jetstream = client.jetstream()
    await jetstream.add_stream(name=logstreams.OF_ALL, subjects=[f"{logstreams.OF_ALL}.>"])
    for number in range(600):
        await jetstream.publish(
            f"logs.micro.{service}.run", str(number).encode(), headers={"Nats-Msg-Id": f"f:{number}"}
        )
    before = datetime.now(UTC)
    await asyncio.sleep(0.05)
    follower = logfiles.Follower()
    follower.start()
    run_log(service).write_text("new\n")
    await read_until(service, [*map(str, range(501, 600)), "new"])
    follower.stop()
    lines = [line async for line in logs.read(namespace="micro", service_id=service, kind="run", count=2)]
    assert lines[0].at < before < lines[1].at
    assert logstreams.OF_ALL not in [info.config.name for info in await jetstream.streams_info()]
    await client.close()


async def test_who_prints_without_end_does_not_hold_up_the_lines_of_others(follower, service):
    loud = [folders.run_log("loud", uuid4(), uuid4(), uuid4()) for _ in range(4)]
    for path in loud:
        path.write_bytes(b"x" * 99 + b"\n")
        with path.open("r+b") as file:
            file.write((b"x" * 99 + b"\n") * 200_000)  # 20 MB
    await asyncio.sleep(0.6)
    run_log(service).write_text("hello\n")
    began = time.monotonic()
    await read_until(service, ["hello"])
    assert any(path.stat().st_size > 0 for path in loud), "it was not even done with the others"
    assert time.monotonic() - began < 10


async def test_a_file_that_grows_faster_than_it_can_be_published_is_emptied_and_says_so(follower, service, monkeypatch):
    monkeypatch.setattr(logfiles, "LARGEST_BACKLOG_BYTES", 1 << 20)
    path = run_log(service)
    path.write_bytes(b"x" * 99 + b"\n")
    with path.open("ab") as file:
        file.write((b"x" * 99 + b"\n") * 100_000)
        file.flush()
        deadline = time.monotonic() + 10
        while path.stat().st_size > 1 << 20:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        file.write(b"after\n")
    while (found := await read(service))[-1:] != ["after"]:
        assert time.monotonic() < deadline, found[-2:]
        await asyncio.sleep(0.05)
    assert any("MiB are missing here" in line for line in await read(service, count=10_000))
