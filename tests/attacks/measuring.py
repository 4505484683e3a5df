"""How much memory the platform's processes take while something goes on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
from server import Server, command_line

MARKS = {"xds": "manage.py xds", "sidecar": "manage.py sidecar", "runner": "manage.py runner", "envoy": "envoy"}
EVERY_S = 0.05


@dataclass
class Peaks:
    """The largest resident size of each process so far, in MB, and the process ids that were seen."""

    before: dict[str, float] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)
    pids: dict[str, set[int]] = field(default_factory=dict)
    seconds: float = 0.0

    def grown(self, name: str) -> float:
        """How many MB more than before a process took at its largest."""
        return self.most[name] - self.before[name]

    def restarts(self, name: str) -> int:
        """How often a process was started anew."""
        return len(self.pids[name]) - 1

    def __str__(self) -> str:
        rows = [f"{name} {self.before[name]:.0f} → {self.most[name]:.0f} MB" for name in self.most]
        return f"{', '.join(rows)} in {self.seconds:.1f} s"


def _platform(server: Server) -> Iterator[tuple[str, psutil.Process]]:
    assert server.process
    for process in psutil.Process(server.process.pid).children(recursive=True):
        line = command_line(process)
        for name, mark in MARKS.items():
            if mark in line.split("--")[0] or (name == "envoy" and line.split(" ")[0].endswith("envoy")):
                yield name, process


def _sample(server: Server, peaks: Peaks) -> None:
    sizes: dict[str, float] = {}
    for name, process in _platform(server):
        try:
            sizes[name] = max(sizes.get(name, 0.0), process.memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            continue
        peaks.pids.setdefault(name, set()).add(process.pid)
    for name, size in sizes.items():
        peaks.before.setdefault(name, size)
        peaks.most[name] = max(peaks.most.get(name, 0.0), size)


@contextmanager
def watched(server: Server) -> Iterator[Peaks]:
    """Measure while the block runs."""
    peaks, over = Peaks(), threading.Event()
    _sample(server, peaks)
    began = time.monotonic()

    def watch() -> None:
        while not over.wait(EVERY_S):
            _sample(server, peaks)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()
        peaks.seconds = time.monotonic() - began
        sys.stdout.write(f"{peaks}\n")
