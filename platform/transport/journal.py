"""The last lines that a process has logged, for debug.Debug.Log."""

from __future__ import annotations

import logging
from collections import deque

from micro.proto import debug_pb2

KEPT = 1000


class Journal(logging.Handler):
    """A handler that keeps the last 1000 lines in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._records: deque[debug_pb2.Record] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line; of an exception only its text, the trace is on standard error."""
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message = f"{message}: {record.exc_info[1]!r}"
        self._records.append(
            debug_pb2.Record(
                timestamp=int(record.created),
                metadata={"level": record.levelname.lower(), "logger": record.name},
                message=message,
            )
        )

    def last(self, *, count: int, since: int) -> list[debug_pb2.Record]:
        """The last `count` lines (0: all that are kept) logged at `since` (unix seconds) or later, oldest first."""
        found = [record for record in tuple(self._records) if record.timestamp >= since]
        return found[-count:] if count > 0 else found
