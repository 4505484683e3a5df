"""The web process: `gunicorn project.asgi:application`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import django
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

THREADS = 8


class Handler(ASGIHandler):
    """Makes each page in one go on one of a few threads that stay, and with them their database connections.

    Django's own makes a thread and a connection for each request and crosses threads at each middleware. The body of a
    stream is made on the event loop: it holds no thread.
    """

    def __init__(self) -> None:  # not the parent's, which would load an asynchronous chain
        self.load_middleware(is_async=False)
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix=f"page-{index}") for index in range(THREADS)]
        self._busy = Counter(self._threads)

    async def __call__(self, scope: Any, receive: Callable[..., Awaitable[Any]], send: Callable[..., Any]) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"Pages are asked for by HTTP, not by {scope['type']}.")
        if settings.MICRO_WEB_IS_SECURE:
            scope = {**scope, "scheme": "https"}  # a proxy has ended TLS; links and cookies are those of its reader
        # The least busy: a page that waits for a mail server or a slow hash lets no other wait behind it.
        thread = min(self._threads, key=self._busy.__getitem__)
        self._busy[thread] += 1
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self.handle(scope, receive, send)
        finally:
            self._busy[thread] -= 1

    async def read_body(self, receive: Callable[..., Awaitable[Any]]) -> Any:
        """The body; of one that is too large, one byte more than it may have. The rest is never taken."""
        left = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1

        async def bounded() -> Any:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left > 0 else {**message, "more_body": False}

        return await super().read_body(bounded)

    def create_request(self, scope: Any, body_file: IO[bytes]) -> Any:
        """The request, or what is answered without asking any page."""
        size = body_file.seek(0, os.SEEK_END)
        body_file.seek(0)
        if size > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return None, _refusal(scope["path"])
        return super().create_request(scope, body_file)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """The whole chain of middleware and view, on the thread of this request."""
        answer: HttpResponseBase = await sync_to_async(self.get_response, thread_sensitive=True)(request)
        return answer


def _refusal(path: str) -> HttpResponse:
    from project.pages import errors  # needs the apps, which are set up below

    return errors.too_large(path)


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup(set_prefix=False)
application = Handler()
