"""The platform's own rules in a process that serves its services: a copy in memory, at most a moment old."""

from __future__ import annotations

import logging

from transport import notifications
from transport.callers import PLATFORM_NAMESPACE, Account
from transport.failures import AWAY
from transport.tenancy import in_public

from . import records
from .access import Book, Restriction, grants, refusal

log = logging.getLogger(__name__)


class Gatekeeper:
    """Applies the rules of the namespace `micro` to calls of the platform's services, whatever namespace they name."""

    def __init__(self) -> None:
        self._book: Book | None = None
        self._restrictions: dict[str, Restriction] = {}

    async def load(self) -> None:
        """Read the rules as they are now."""
        self._book, self._restrictions = await in_public(records.book, PLATFORM_NAMESPACE), {}

    async def follow(self, dsn: str) -> None:
        """Read them again after every change, until cancelled; while the database is away the last ones hold."""
        async for _ in notifications.changes(dsn, records.CHANNEL):
            try:
                await self.load()
            except AWAY as error:
                log.warning("the rules cannot be read, those of before hold: %s", str(error).strip())

    def permit(self, account: Account | None, service: str, endpoint: str) -> None:
        """Raises Unauthenticated or PermissionDenied when the rules do not grant the call. Rules must be loaded."""
        if self._book is None:
            raise AssertionError("a call came before the rules were loaded")
        if service not in self._restrictions:
            self._restrictions[service] = self._book.restriction(service)
        rules = self._restrictions[service]
        if rules is not None and not grants(rules, endpoint, account, namespace=self._book.namespace):
            raise refusal(service, endpoint, account)
