"""Guessing secrets is slow: per account and address, per address, and per account from addresses it is not known at.

Who has logged in from an address before is never shut out there by what others try from elsewhere. An address of IPv6
stands for its /64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from micro.errors import Error, ResourceExhausted
from transport.addresses import network

from .models import Attempts

KNOWN_FOR = timedelta(days=30)
SWEPT_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Limit:
    """So many failures; then nothing is tried until `quiet` has passed since the last one."""

    failures: int
    quiet: timedelta


PER_ACCOUNT_AND_ADDRESS = Limit(10, timedelta(minutes=5))
PER_ADDRESS = Limit(100, timedelta(minutes=1))
PER_ACCOUNT = Limit(50, timedelta(minutes=15))


@dataclass(frozen=True, slots=True)
class Guess:
    """Somebody at `address` ("" when it is not known) says that they are `account` of `namespace`."""

    namespace: str
    account: str
    address: str

    @property
    def pair(self) -> str:
        return _key("pair", self.namespace, self.account, network(self.address))

    @property
    def known(self) -> str:
        return _key("known", self.namespace, self.account, network(self.address))

    def wider(self) -> dict[str, Limit]:
        """What else a failure counts for, and to which limit."""
        found = {_key("account", self.namespace, self.account): PER_ACCOUNT}
        return found | ({_key("address", network(self.address)): PER_ADDRESS} if self.address else {})


@contextmanager
def guarded(guess: Guess, *, at: datetime) -> Iterator[None]:
    """Let a secret be tried in the block, which raises an Error when it is wrong.

    Raises ResourceExhausted, with how long to wait, before the block where too many were wrong. The try counts before
    it is made, so that a hundred at once are not a hundred tries.
    """
    _require_calm(guess, at)
    if _count(guess.pair, PER_ACCOUNT_AND_ADDRESS, at) > PER_ACCOUNT_AND_ADDRESS.failures:
        raise _refusal(PER_ACCOUNT_AND_ADDRESS.quiet)
    try:
        yield
    except Error:
        for key, limit in sorted(guess.wider().items()):
            _count(key, limit, at)
        raise
    Attempts.objects.filter(key=guess.pair).delete()
    Attempts.objects.update_or_create(key=guess.known, defaults={"count": 0, "until": at + KNOWN_FOR})


def _require_calm(guess: Guess, at: datetime) -> None:
    limits = {guess.pair: PER_ACCOUNT_AND_ADDRESS, **guess.wider()}
    rows = {row.key: row for row in Attempts.objects.filter(key__in=[*limits, guess.known], until__gt=at)}
    for key, limit in limits.items():
        is_excused = limit is PER_ACCOUNT and guess.known in rows
        if key in rows and rows[key].count >= limit.failures and not is_excused:
            raise _refusal(rows[key].until - at)


def _count(key: str, limit: Limit, at: datetime) -> int:
    """Add a failure; how many there are now. Rows that are forgotten are swept on the way."""
    old = Attempts.objects.filter(until__lte=at).exclude(key=key)[:SWEPT_AT_ONCE].values("key")
    Attempts.objects.filter(key__in=list(old.values_list("key", flat=True))).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants_attempts AS a (key, count, until) VALUES (%(key)s, 1, %(until)s) "
            "ON CONFLICT (key) DO UPDATE SET until = %(until)s, "
            "count = CASE WHEN a.until <= %(at)s THEN 1 ELSE a.count + 1 END RETURNING count",
            {"key": key, "at": at, "until": at + limit.quiet},
        )
        (count,) = cursor.fetchone()
    return int(count)


def _refusal(wait: timedelta) -> ResourceExhausted:
    seconds = max(1, round(wait.total_seconds()))
    return ResourceExhausted(f"Too many wrong secrets: try again in {seconds} seconds.", retry_after_s=seconds)


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
