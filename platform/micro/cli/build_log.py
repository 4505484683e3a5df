"""A deployment's build log on the terminal while it grows."""

from __future__ import annotations

import contextlib
import re
import threading
from datetime import datetime

from micro import errors, runtime
from micro.client import Client
from micro.proto.runtime_pb2 import LogsRequest, Service

from .progress import Progress

LAST_LINE = re.compile(r"Release \d+ is built; |Failed: |Cancelled by ")
LAG_S = 1.5  # a build's last lines may come this much later than the news that the deployment is over


class BuildLog:
    """Shows the build log. It is a courtesy: without it, the deployment is watched all the same."""

    def __init__(self, service: Service, progress: Progress, client: Client) -> None:
        self._client, self._progress = client, progress
        self._request = LogsRequest(
            service=service.name,
            version=service.version,
            stream=True,
            count=10_000,
            since=_seconds(service.metadata.get("started", "")),  # not the builds before this one
            kind="build",
        )
        self._is_told, self._is_closed = threading.Event(), False
        threading.Thread(target=self._follow, daemon=True).start()

    def finish(self) -> None:
        """Show what is left, until the last line or for LAG_S; then nothing more."""
        self._is_told.wait(LAG_S)
        self._is_closed = True

    def _follow(self) -> None:
        with contextlib.suppress(errors.Error):
            for record in runtime.logs(self._request, client=self._client):
                if self._is_closed:
                    return
                self._progress.log(record.message)
                if LAST_LINE.match(record.message):
                    self._is_told.set()
                else:
                    self._is_told.clear()  # a program within the build had said it
        self._is_told.set()


def _seconds(moment: str) -> int:
    """An RFC 3339 time as unix seconds; zero for what is none."""
    try:
        return int(datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return 0
