"""Claims about how the web process makes pages: on a few threads that stay, and streams on none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from project.asgi import THREADS, Handler


def which_thread(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(threading.current_thread().name)


async def endless() -> AsyncIterator[bytes]:
    yield b"begin\n"
    await asyncio.Event().wait()


def stream(_request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(endless())


def broken(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("our own fault")


urlpatterns = [path("thread", which_thread), path("stream", stream), path("broken", broken)]
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


async def test_what_is_not_http_is_refused(application):
    with pytest.raises(ValueError, match="not by websocket"):
        await application({"type": "websocket"}, None, None)
