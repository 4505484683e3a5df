"""A steady load that counts what fails, bounded in rate and ending by itself."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType

import httpx


class Load:
    """`rate` GET requests a second to `url` from its start to its end, each judged by status and recorded by body.

    As a context manager; ends by itself after `at_most_s` seconds.
    """

    def __init__(self, url: str, *, rate: int = 50, host: str = "", threads: int = 4, at_most_s: float = 180) -> None:
        self.url, self.host = url, host
        self.interval = threads / rate
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._deadline = time.monotonic() + at_most_s
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(15)

    def _run(self) -> None:
        headers = {"Host": self.host} if self.host else {}
        with httpx.Client(headers=headers, timeout=10) as client:
            due = time.monotonic()
            while not self._over.is_set() and time.monotonic() < self._deadline:
                self._one(client)
                due += self.interval
                time.sleep(max(0.0, due - time.monotonic()))

    def _one(self, client: httpx.Client) -> None:
        try:
            answer = client.get(self.url)
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
            return
        if answer.status_code == 200:
            self.answers[answer.text] += 1
        else:
            self.failures.append(f"{answer.status_code} {answer.text[:200]}")
