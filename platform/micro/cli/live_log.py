"""What a build prints, and then what the service prints while it starts: on the terminal while it grows."""

from __future__ import annotations

import contextlib
import re
import threading
from datetime import datetime
from typing import Self

from micro import errors, runtime
from micro.client import Client
from micro.proto.runtime_pb2 import LogRecord, LogsRequest, Service

from .progress import Progress

LAST_LINE = re.compile(r"Release (?P<release>\d+) is built; |Failed: |Cancelled by ")
NO_LINE = re.compile(r"(?!)")  # of what a service prints, none is the last
BUILD_LAG_S = 1.5  # a build's last lines may come this much later than the news that the deployment is over
START_LAG_S = 0.3
NOISE = re.compile(r"#\d+ sha256:[0-9a-f]{64}$")  # what older builders say of each step; the log keeps it


class LiveLog:
    """Shows one of the two logs. It is a courtesy: without it, the deployment is watched all the same."""

    def __init__(
        self, service: Service, progress: Progress, client: Client, *, kind: str, after: LiveLog | None = None
    ) -> None:
        self._client, self._progress, self._after = client, progress, after
        self._last, self._lag_s = (NO_LINE, START_LAG_S) if after else (LAST_LINE, BUILD_LAG_S)
        self._request = LogsRequest(
            service=service.name,
            version=service.version,
            stream=True,
            count=10_000,
            since=since(service),
            kind=kind,
        )
        self._is_told, self._is_closed, self._lines, self._release = threading.Event(), False, 0, ""
        threading.Thread(target=self._follow, daemon=True).start()

    @classmethod
    def of_build(cls, service: Service, progress: Progress, client: Client) -> Self:
        """What the build prints."""
        return cls(service, progress, client, kind="build")

    @classmethod
    def of_start(cls, service: Service, progress: Progress, client: Client, *, after: LiveLog) -> Self:
        """What the service prints from its start on, once the build's log is shown."""
        return cls(service, progress, client, kind="run", after=after)

    def finish(self, lag_s: float = 0.0) -> bool:
        """Show what is left, until the last line or for as long as that may lag; whether there was anything to show."""
        if self._after:
            self._is_told.wait(lag_s or self._lag_s)
        else:
            self.wait()
        self._is_closed = True
        return self._lines > 0

    def wait(self) -> None:
        """Return when a build's last line is shown, or when nothing came for so long that it may have got lost."""
        seen = -1
        while seen != self._lines and not self._is_told.is_set():
            seen = self._lines
            self._is_told.wait(self._lag_s)

    def _follow(self) -> None:
        with contextlib.suppress(errors.Error):
            for record in runtime.logs(self._request, client=self._client):
                if self._after:
                    self._after.wait()
                if self._is_closed:
                    return
                if self._after and is_of_another(record, self._after._release):
                    continue
                self._lines += 1
                if not NOISE.match(record.message):
                    self._progress.log(record.message)
                if last := self._last.match(record.message):
                    self._release = last["release"] or ""
                    self._is_told.set()
                else:
                    self._is_told.clear()  # a program within the build had said it
        self._is_told.set()


def since(service: Service) -> int:
    """When its deployment was asked for, in unix seconds; zero where that is not known. Before it, others printed."""
    try:
        return int(datetime.fromisoformat(service.metadata.get("started", "")).timestamp())
    except ValueError:
        return 0


def is_of_another(record: LogRecord, release: str) -> bool:
    """Whether a line is known to come from another release, such as the one that is being replaced."""
    return bool(release) and record.metadata.get("release", release) != release
