"""What a handler may know about the call it answers."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING

from .errors import Error, Unavailable

if TYPE_CHECKING:
    from .auth import Account

current: ContextVar[Context | None] = ContextVar("micro_context", default=None)


class Context:
    """The call being answered: who calls, in which namespace, with which metadata.

    A handler's method takes one as its second argument; anywhere else `Context.current()` finds it.
    """

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self.metadata = metadata

    @staticmethod
    def current() -> Context | None:
        """The call that this thread or task is answering; None outside of one."""
        return current.get()

    @property
    def namespace(self) -> str:
        return self.metadata.get("micro-namespace") or os.environ.get("MICRO_NAMESPACE") or "micro"

    @cached_property
    def account(self) -> Account | None:
        """Whose call it is, as the platform says; None for a call without a valid token.

        Asks the platform once per token and waits for the answer; in an async handler, `await context.identify()`.
        Raises Unavailable when the platform cannot be asked.
        """
        scheme, _, token = self.metadata.get("authorization", "").partition(" ")
        return _accounts.of(token) if scheme.lower() == "bearer" and token else None

    async def identify(self) -> Account | None:
        """`account`, without holding up the event loop."""
        import asyncio

        return await asyncio.to_thread(lambda: self.account)


class _Accounts:
    """Accounts by token, until the token ends."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Account, float]] = {}

    def of(self, token: str) -> Account | None:
        account, until = self._known.get(token, (None, 0.0))
        if account is not None and time.time() < until:
            return account
        return self._ask(token)

    def _ask(self, token: str) -> Account | None:
        from . import auth

        try:
            account = auth.inspect(token)
        except Unavailable:
            raise
        except Error:
            return None
        now = time.time()
        self._known = {known: entry for known, entry in self._known.items() if entry[1] > now}
        self._known[token] = account, _expiry(token)
        return account


def _expiry(token: str) -> float:
    """When a token ends (unix seconds). The platform has already judged the token: this only reads it."""
    import base64
    import json

    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, KeyError, ValueError):
        return 0.0


_accounts = _Accounts()
