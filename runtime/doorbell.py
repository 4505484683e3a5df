"""Where the runner waits: until something is due, somebody rings, or a replica ends."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterable

import psycopg
from django.conf import settings
from django.db import Error as DatabaseError

from . import notices


class Doorbell:
    """Rung by `notices.ring` in any process of the server, and by `ring` in this one."""

    def __init__(self) -> None:
        self._bell, self._button = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._button, False)
        self._listener: psycopg.Connection | None = None

    def ring(self) -> None:
        """End the present wait, or the next. Safe in a signal handler and from other threads."""
        try:
            os.write(self._button, b"!")
        except BlockingIOError:
            return  # it is ringing already

    def listen(self) -> None:
        """Have it connected, and forget what it said so far: the rows are read after this. Raises DatabaseError."""
        try:
            if self._listener is None:
                self._listener = psycopg.connect(settings.DATABASE_URL, autocommit=True)
                self._listener.execute(f"LISTEN {notices.CHANNEL}")
            for _notice in self._listener.notifies(timeout=0):
                pass
        except psycopg.Error as error:
            self.disconnect()
            raise DatabaseError(str(error)) from error

    def disconnect(self) -> None:
        """Hear nothing of other processes until the next `listen`."""
        if self._listener:
            self._listener.close()
            self._listener = None

    def wait(self, seconds: float, descriptors: Iterable[int]) -> None:
        """Return when somebody rings, one of the descriptors can be read, or the time is over."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._bell, selectors.EVENT_READ)
            if self._listener:
                selector.register(self._listener.fileno(), selectors.EVENT_READ)
            for descriptor in descriptors:
                selector.register(descriptor, selectors.EVENT_READ)
            selector.select(seconds)
        self._silence()

    def _silence(self) -> None:
        try:
            while os.read(self._bell, 4096):
                pass
        except BlockingIOError:
            return
