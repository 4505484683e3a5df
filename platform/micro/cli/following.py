"""A log that is followed for as long as its service is there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import click

from micro import errors, runtime
from micro.client import Client
from micro.proto.runtime_pb2 import LogRecord, LogsRequest

LOOK_EVERY_S = 1.0


class Following:
    """The lines of a log as they come, until the service is removed: the server would wait for more."""

    def __init__(self, request: LogsRequest, client: Client) -> None:
        self._request, self._client = request, client
        self._replies = runtime.logs(request, client=client)
        self._is_removed, self._is_over = threading.Event(), threading.Event()

    def lines(self) -> Iterator[LogRecord]:
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield from self._replies
        except errors.Error:
            if not self._is_removed.is_set():
                raise
            click.echo(f"{self._request.service} was removed.", err=True)
        finally:
            self._is_over.set()

    def _watch(self) -> None:
        """End the replies when a service that was there no longer is. One that never was is the server's to refuse."""
        was_there = False
        while not self._is_over.is_set():
            with contextlib.suppress(errors.Error):  # a server that is away says nothing about the service
                is_there = bool(runtime.read(self._request.service, self._request.version, client=self._client))
                if was_there and not is_there:
                    self._is_removed.set()
                    return self._replies.close()
                was_there = is_there
            self._is_over.wait(LOOK_EVERY_S)
