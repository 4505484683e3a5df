"""Which service the control plane was at work on when it died, so that one service cannot keep it from serving others.

The note lies in a mapped file: to write it costs nothing, and it outlives a process that is killed.
"""

from __future__ import annotations

import json
import logging
import mmap
from pathlib import Path

logger = logging.getLogger(__name__)

NOTE_BYTES = 512
ENOUGH_DEATHS = 2  # one may be anybody's doing
MOST_REMEMBERED = 100


class Journal:
    """The note, and how often the process died over each service that it was found at. One process at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._counts_path = folder / "deaths.json"
        self._deaths = _read_counts(self._counts_path)
        path = folder / "at-work"
        if not path.exists() or path.stat().st_size != NOTE_BYTES:
            path.write_bytes(bytes(NOTE_BYTES))
        with path.open("r+b") as file:
            self._note = mmap.mmap(file.fileno(), NOTE_BYTES)
        self._count_death(bytes(self._note).rstrip(b"\0").decode(errors="replace"))
        self.finish()

    @property
    def suspects(self) -> frozenset[str]:
        """The services over which it died too often."""
        return frozenset(name for name, count in self._deaths.items() if count >= ENOUGH_DEATHS)

    def begin(self, name: str) -> None:
        """Note what is worked on from now on."""
        self._note[:] = name.encode()[:NOTE_BYTES].ljust(NOTE_BYTES, b"\0")

    def finish(self) -> None:
        """Note that all is done."""
        self._note[:] = bytes(NOTE_BYTES)

    def _count_death(self, name: str) -> None:
        if not name:
            return
        count = self._deaths.pop(name, 0) + 1
        self._deaths[name] = count
        logger.warning("the control plane died while it worked on %s, for the %d. time", name, count)
        self._deaths = dict(list(self._deaths.items())[-MOST_REMEMBERED:])
        fresh = self._counts_path.with_suffix(".new")
        fresh.write_text(json.dumps(self._deaths))
        fresh.replace(self._counts_path)


def _read_counts(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    counts = found.items() if isinstance(found, dict) else ()
    return {name: count for name, count in counts if isinstance(count, int)}
