"""What a deployment does, on stderr: a line for each step, its build log dimmed, and a spinner on a terminal."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

STEPS = {
    "queued": "Waiting for a worker",
    "fetching": "Fetching the source",
    "detecting": "Looking at what it is",
    "building": "Building",
    "starting": "Starting",
    "switching": "Switching traffic over",
}


LOG_LAG_S = 0.5  # a build's last lines come this much later than the step that follows them


class Progress:
    """The lines of one deployment. Safe to use from two threads."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, markup=False)
        self._status = self._console.status(Text(title)) if self._console.is_terminal else None
        self._started = time.monotonic()
        self._step = ""
        self._due: float | None = None  # when the step's line is printed, if the step still goes on
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def step(self, name: str, why: str = "") -> None:
        """The deployment is at this step: call it again and again. A step that is over at once has no line.

        With `why` it waits, and that is why.
        """
        text = plain(why)[:1].upper() + plain(why)[1:] or STEPS.get(name, "")
        if text and text != self._step:
            self._step, self._due = text, time.monotonic() + LOG_LAG_S
            if self._status:
                self._status.update(Text(text))
        elif self._due is not None and time.monotonic() > self._due:
            self._due = None
            self.line(f"{self._step} ...")

    def doing(self, text: str) -> None:
        """What goes on right now, for the spinner alone."""
        if self._status:
            self._status.update(Text(text))

    def line(self, text: str) -> None:
        self._print(Text(text))

    def log(self, text: str) -> None:
        """A line of somebody else's output. Its escape codes stay out of this terminal."""
        self._print(Text(f"  {plain(text)}", style="" if self._console.no_color else "dim"))

    def done(self, text: str) -> None:
        seconds = time.monotonic() - self._started
        self._print(Text.assemble((text, "green"), f" ({seconds:.1f} s)"))

    def _print(self, text: Text) -> None:
        with self._lock:
            self._console.print(text)


def plain(text: str) -> str:
    """The printable characters of a line."""
    return "".join(char for char in Text.from_ansi(text).plain if char.isprintable() or char == "\t")
