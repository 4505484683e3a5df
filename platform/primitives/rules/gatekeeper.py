"""The rules about the platform's services in a process that serves them: a copy in memory, at most a moment old.

Those of the namespace `micro` decide; those of an account's own namespace can only take away.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from tenants.names import PLATFORM_SERVICES
from transport import notifications
from transport.callers import PLATFORM_NAMESPACE, Account
from transport.failures import AWAY
from transport.tenancy import in_public

from . import records
from .access import Book, Restriction, Rule, denies, grants, refusal

log = logging.getLogger(__name__)


class Gatekeeper:
    """Applies the rules of the namespace `micro`, and then those of the caller's own that name the service."""

    def __init__(self) -> None:
        self._book: Book | None = None
        self._restrictions: dict[str, Restriction] = {}
        self._tenants: Mapping[str, Book] = {}
        self._of_tenants: dict[tuple[str, str], Sequence[Rule]] = {}

    async def load(self) -> None:
        """Read the rules as they are now."""
        book = await in_public(records.book, PLATFORM_NAMESPACE)
        tenants = await in_public(records.books_about, PLATFORM_SERVICES)
        self._book, self._restrictions, self._tenants, self._of_tenants = book, {}, tenants, {}

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
        if account is not None and account.issuer in self._tenants and account.issuer != PLATFORM_NAMESPACE:
            own = self._own(account.issuer, service)
            if denies(own, endpoint, account, namespace=account.issuer):
                raise refusal(service, endpoint, account)

    def _own(self, namespace: str, service: str) -> Sequence[Rule]:
        key = (namespace, service)
        if key not in self._of_tenants:
            self._of_tenants[key] = self._tenants[namespace].of_its_own_about(service)
        return self._of_tenants[key]
