"""Codes sent by e-mail: who types one reads the mail of that address."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from django.conf import settings
from django.db.models import F

from micro.errors import InvalidArgument, ResourceExhausted
from transport.addresses import network

from . import limits
from .models import EmailCode

LIFE = timedelta(minutes=15)
SAME_FOR = timedelta(hours=24)  # so long the same code is sent again, as long as nobody has used or guessed it away
FINDABLE_FOR = timedelta(hours=25)  # a code in the mailbox: since it was drawn, it has been sent again
MOST_ATTEMPTS = 5  # of one network
MOST_ATTEMPTS_IN_ALL = 50
WRONG = "The code is wrong, used or older than 15 minutes."


def draw(email: str, purpose: EmailCode.Purpose, *, at: datetime) -> str:
    """A code for the address, good from now on: the one that was sent last while that can be, else a new one.

    So what a stranger asks for takes no code away from the owner of the address.
    """
    seed = secrets.token_hex(16)
    fresh = {"seed": seed, "attempts": 0, "drawn_at": at, "expires_at": at + LIFE}
    row, is_new = EmailCode.objects.get_or_create(email=email, purpose=purpose, defaults=fresh)
    is_same = row.drawn_at > at - SAME_FOR and row.attempts < MOST_ATTEMPTS_IN_ALL
    if not is_new:
        EmailCode.objects.filter(pk=row.pk).update(**({"expires_at": at + LIFE} if is_same else fresh))
    return _code(email, purpose, row.seed if is_same else seed)


def revive(email: str, purpose: EmailCode.Purpose, *, at: datetime) -> None:
    """Make the code that was sent last good again, if there is one: it is in the mailbox."""
    rows = EmailCode.objects.filter(email=email, purpose=purpose, drawn_at__gt=at - FINDABLE_FOR)
    rows.update(expires_at=at + LIFE)


def check(email: str, purpose: EmailCode.Purpose, code: str, *, origin: str, at: datetime) -> None:
    """Raises InvalidArgument unless the code is good; after five wrong tries from a network none is good there.

    A try counts before it is made, so that a hundred at once are not a hundred tries; a right one is given back. Call
    it outside a transaction.
    """
    rows = EmailCode.objects.filter(email=email, purpose=purpose, attempts__lt=MOST_ATTEMPTS_IN_ALL)
    row = rows.filter(expires_at__gt=at).first()
    seed = row.seed if row else ""
    tries = f"code-tries:{seed[:8]}:{purpose}:{network(origin)}:{email}"
    try:
        limits.spend(tries, limit=MOST_ATTEMPTS, per=SAME_FOR, at=at)
    except ResourceExhausted:
        raise InvalidArgument(WRONG) from None
    if not rows.filter(seed=seed).update(attempts=F("attempts") + 1):
        raise InvalidArgument(WRONG)
    if not hmac.compare_digest(_code(email, purpose, seed), "".join(code.split())):
        raise InvalidArgument(WRONG)
    EmailCode.objects.filter(email=email, purpose=purpose, seed=seed).update(attempts=F("attempts") - 1)
    limits.renew(tries)


def use_up(email: str, purpose: EmailCode.Purpose) -> None:
    """End the code, in the transaction of what it was good for. Raises InvalidArgument when it has ended already."""
    deleted, _ = EmailCode.objects.filter(email=email, purpose=purpose).delete()
    if not deleted:
        raise InvalidArgument(WRONG)


def _code(email: str, purpose: str, seed: str) -> str:
    """What the seed stands for, which only this server can tell."""
    digest = hmac.new(settings.SECRET_KEY.encode(), f"{purpose}:{email}:{seed}".encode(), sha256).digest()
    return f"{int.from_bytes(digest) % 10**6:06}"
