"""Waiting for what a process needs: the supervisor knows no readiness, so each process waits itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5
MENTION_AFTER_S = 2.0

logger = logging.getLogger(__name__)


class NotReady(RuntimeError):
    """What a process needs did not come in time; the sentence names it and the last reason."""


def wait_for(what: str, check: Callable[[], bool], timeout: timedelta = timedelta(seconds=60)) -> None:
    """Return when `check()` is true; a check that raises counts as "not yet".

    Raises NotReady after `timeout`, with the text of the last exception as its reason.
    """
    began = time.monotonic()
    pause_s, mentioned, reason = FIRST_PAUSE_S, False, "no answer"
    while True:
        try:
            if check():
                return
        except Exception as error:  # noqa: BLE001 - whatever a client library raises while its server is away
            reason = str(error).strip() or type(error).__name__
        waited_s = time.monotonic() - began
        if waited_s >= timeout.total_seconds():
            raise NotReady(f"Waited {timeout.total_seconds():g} s for {what}: {reason}.")
        if waited_s >= MENTION_AFTER_S and not mentioned:
            logger.info("waiting for %s: %s", what, reason)
            mentioned = True
        time.sleep(min(pause_s, timeout.total_seconds() - waited_s))
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


def database_answers() -> bool:
    """True when the default database takes a query; raises its error otherwise."""
    from django.db import connection

    connection.close_if_unusable_or_obsolete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True
