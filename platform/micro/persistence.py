"""Trying again while the server, or what it needs, is away for a moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from . import errors
from .wire import Unreachable

PATIENCE_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0

R = TypeVar("R")


def persistently(call: Callable[[], R], *, is_repeatable: bool = True) -> R:
    """The result of `call`, made again on Unavailable for up to 10 s. One that is not repeatable is made once.

    Where nobody listens at all, only a service of the platform waits: for everybody else the address is wrong.
    """
    deadline, pause_s = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S
    while True:
        try:
            return call()
        except errors.Unavailable as error:
            is_hopeless = isinstance(error, Unreachable) and "MICRO_SERVICE_ADDRESS" not in os.environ
            if not is_repeatable or is_hopeless or time.monotonic() + pause_s > deadline:
                raise
        import random

        time.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - so that not all come back at once
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
