"""What containers print, copied from the engine into the files that are followed; a flood is cut, not kept up with."""

from __future__ import annotations

import calendar
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from uuid import UUID

from docker.errors import NotFound

from runtime import folders

from . import engine

RATE_BYTES_PER_S = 256 << 10
BURST_BYTES = 2 << 20
RETRY_S = 1.0
REMEMBER_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class Budget:
    """So many bytes a second, with a burst. The clock is passed in, in seconds."""

    def __init__(self, *, rate: float = RATE_BYTES_PER_S, burst: float = BURST_BYTES) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, 0.0

    def take(self, size_bytes: int, at: float) -> bool:
        """Whether this much may pass at `at`; it is counted when it may."""
        self._left = min(self._burst, self._left + (at - self._at) * self._rate)
        self._at = at
        if size_bytes > self._left:
            return False
        self._left -= size_bytes
        return True


class Output:
    """The copying of one container's output, in a thread of its own until the container has ended.

    `on_flood` is told how many bytes a second came when more came than is kept.
    """

    def __init__(
        self, container_id: str, replica_id: UUID, log: Path, *, on_flood: Callable[[float], None] = lambda _rate: None
    ) -> None:
        self._container_id, self._log, self._on_flood = container_id, log, on_flood
        self._mark = folders.replicas() / str(replica_id) / "printed"  # the time of the last copied line
        self._client = engine.connect(timeout_s=3600)
        self._budget = Budget()
        self._last = self._mark.read_text() if self._mark.exists() else ""
        self._remembered_at = 0.0
        self._copied_bytes, self._copied_since = 0, time.monotonic()
        self._is_stopping = False
        self.thread = threading.Thread(target=self._run, name=f"output-{container_id[:8]}", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Copy no more; does not wait."""
        self._is_stopping = True
        self._client.close()

    def wait(self, timeout_s: float) -> None:
        """Return when all of an ended container's output is copied, or when the time is over."""
        self.thread.join(timeout_s)

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                with self._log.open("ab", buffering=0) as file:
                    is_cut = self._copy(file.write)
                if is_cut:
                    self._sit_out_the_flood()
                elif not self._is_running():
                    return
            except NotFound:
                return
            except engine.AWAY as error:
                logger.debug("the output of %s waits: %s", self._container_id[:12], error)
                time.sleep(RETRY_S)
            finally:
                self._remember()

    def _copy(self, write: Callable[[bytes], int]) -> bool:
        """Copy until the stream ends; True when it was cut because too much came."""
        with contextlib.closing(self._stream()) as stream:
            for part in stream:
                at, _, text = part.partition(b" ")
                if at.decode(errors="replace") <= self._last:
                    continue  # the engine takes a time in a coarser grain than it gives
                if not self._budget.take(len(text), time.monotonic()):
                    write(
                        b"[micro] This replica prints more than %d KiB/s; lines are left out.\n"
                        % (RATE_BYTES_PER_S >> 10)
                    )
                    return True
                write(text)
                self._copied_bytes += len(text)
                self._last = at.decode(errors="replace")
                self._remember_now_and_then()
        return False

    def _stream(self) -> Generator[bytes]:
        since = {"since": _seconds(self._last)} if self._last else {}
        return self._client.api.logs(  # type: ignore[no-any-return]
            self._container_id, stdout=True, stderr=True, stream=True, follow=True, timestamps=True, **since
        )

    def _sit_out_the_flood(self) -> None:
        """Leave out what comes until there is room for a burst again."""
        self._on_flood(self._copied_bytes / max(time.monotonic() - self._copied_since, 0.001))
        time.sleep(BURST_BYTES / RATE_BYTES_PER_S)
        self._copied_bytes, self._copied_since = 0, time.monotonic()
        self._last = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime())

    def _is_running(self) -> bool:
        return bool(self._client.api.inspect_container(self._container_id)["State"]["Running"])

    def _remember_now_and_then(self) -> None:
        if time.monotonic() - self._remembered_at > REMEMBER_EVERY_S:
            self._remember()

    def _remember(self) -> None:
        self._remembered_at = time.monotonic()
        if self._last:
            with contextlib.suppress(FileNotFoundError):  # the replica is being forgotten
                self._mark.write_text(self._last)


def _seconds(stamp: str) -> float:
    """A time of the engine, in seconds since 1970."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds + float(f"0.{fraction[:6] or 0}")
