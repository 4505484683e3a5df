"""Claims about how the web process makes pages: on a few threads that stay, and streams on none."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from project.asgi import THREADS, Handler


def which_thread(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(threading.current_thread().name)


async def endless() -> AsyncIterator[bytes]:
    yield b"begin\n"
    await asyncio.Event().wait()


RELEASED = threading.Event()


def waiting(_request: HttpRequest) -> HttpResponse:
    RELEASED.wait(20)
    return HttpResponse("waited")


def stream(_request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(endless())


def broken(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("our own fault")


def away(_request: HttpRequest) -> HttpResponse:
    raise OperationalError("connection to /run/secret-place failed")


def own_address(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.build_absolute_uri())


urlpatterns = [
    path("thread", which_thread),
    path("waiting", waiting),
    path("stream", stream),
    path("broken", broken),
    path("away", away),
    path("v1/broken", broken),
    path("own-address", own_address),
]
handler500 = "project.pages.errors.failed"


@pytest.fixture
def application(settings) -> Handler:
    settings.ROOT_URLCONF = __name__
    return Handler()


def client(application: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_pages_are_made_on_a_few_threads_that_stay(application):
    async with client(application) as asking:
        answers = await asyncio.gather(*[asking.get("/thread") for _ in range(5 * THREADS)])
    assert {answer.text for answer in answers} == {f"page-{index}_0" for index in range(THREADS)}


async def test_a_page_that_waits_lets_no_other_wait(application):
    """As long as there are threads that do not."""
    RELEASED.clear()
    async with client(application) as asking:
        slow = [asyncio.ensure_future(asking.get("/waiting")) for _ in range(THREADS - 1)]
        await asyncio.sleep(0.1)
        for _ in range(2 * THREADS):
            answer = await asyncio.wait_for(asking.get("/thread"), 10)
            assert answer.status_code == 200
        RELEASED.set()
        assert {answer.text for answer in await asyncio.gather(*slow)} == {"waited"}


async def test_streams_hold_no_thread(application):
    began = asyncio.Queue[None]()

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            await began.put(None)

    def open_one() -> asyncio.Task[None]:
        receive = iter_once({"type": "http.request", "body": b""})
        scope = {"type": "http", "method": "GET", "path": "/stream", "headers": [(b"host", b"localhost")]}
        return asyncio.ensure_future(application({**scope, "query_string": b""}, receive, send))

    streams = [open_one() for _ in range(10 * THREADS)]
    for _ in streams:
        await asyncio.wait_for(began.get(), 10)
    async with client(application) as asking:
        answers = await asyncio.wait_for(asyncio.gather(*[asking.get("/thread") for _ in range(2 * THREADS)]), 10)
    assert all(answer.status_code == 200 for answer in answers)
    for task in streams:
        task.cancel()
    await asyncio.gather(*streams, return_exceptions=True)


def iter_once(message: dict[str, Any]) -> Any:
    """A `receive` that gives one message and then waits for ever."""
    waiting = [message]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()
        raise AssertionError

    return receive


async def test_a_fault_of_ours_is_a_plain_page_without_its_insides(application):
    async with client(application) as asking:
        answer = await asking.get("/broken")
    assert answer.status_code == 500
    assert "our own fault" not in answer.text
    assert "went wrong on our side" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_fault_of_ours_can_be_found_in_the_log_by_what_its_page_says(application, caplog):
    async with client(application) as asking:
        incident = re.search(r"incident (\w{8})", (await asking.get("/broken")).text)
    assert incident
    assert [record.exc_info for record in caplog.records if incident[1] in record.getMessage()]


async def test_a_fault_of_ours_below_the_rest_api_is_a_problem(application):
    async with client(application) as asking:
        answer = await asking.get("/v1/broken")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:micro:error:internal"


async def test_a_database_that_is_away_is_no_fault_of_ours_and_tells_nothing_of_where_it_is(application):
    async with client(application) as asking:
        answer = await asking.get("/away")
    assert answer.status_code == 503
    assert "try again" in answer.text
    assert "secret-place" not in answer.text


@pytest.mark.parametrize(("path", "kind"), [("/thread", "text/html"), ("/v1/thread", "application/problem+json")])
async def test_a_body_without_an_end_is_left_unread(application, path, kind):
    taken = 0

    async def endless_body() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1 << 16
            yield b"x" * (1 << 16)

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(body), "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    body = endless_body()
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    await asyncio.wait_for(application(scope, receive, send), 20)
    assert sent[0]["status"] == 413
    assert dict(sent[0]["headers"])[b"Content-Type"].startswith(kind.encode())
    assert taken < 4 << 20


async def test_behind_a_proxy_that_speaks_tls_addresses_are_those_of_its_readers(application, settings):
    async with client(application) as asking:
        assert (await asking.get("/own-address")).text.startswith("http://")
        settings.MICRO_WEB_IS_SECURE = True
        assert (await asking.get("/own-address")).text.startswith("https://")


async def test_what_is_not_http_is_refused(application):
    with pytest.raises(ValueError, match="not by websocket"):
        await application({"type": "websocket"}, None, None)
