"""The web process: `gunicorn project.asgi:application`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import django
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

THREADS = 8


class Handler(ASGIHandler):
    """Makes each page in one go on one of a few threads that stay, and with them their database connections.

    Django's own makes a thread and a connection for each request and crosses threads at each middleware. The body of a
    stream is made on the event loop: it holds no thread.
    """

    def __init__(self) -> None:  # not the parent's, which would load an asynchronous chain
        self.load_middleware(is_async=False)
        self._threads = cycle([ThreadPoolExecutor(1, thread_name_prefix=f"page-{index}") for index in range(THREADS)])

    async def __call__(self, scope: Any, receive: Callable[..., Awaitable[Any]], send: Callable[..., Any]) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"Pages are asked for by HTTP, not by {scope['type']}.")
        async with ThreadSensitiveContext(executor=next(self._threads)):
            await self.handle(scope, receive, send)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """The whole chain of middleware and view, on the thread of this request."""
        answer: HttpResponseBase = await sync_to_async(self.get_response, thread_sensitive=True)(request)
        return answer


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup(set_prefix=False)
application = Handler()
