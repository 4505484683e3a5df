"""Codes sent by e-mail: who types one reads the mail of that address."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from django.conf import settings
from django.db.models import F

from micro.errors import InvalidArgument

from .models import EmailCode

LIFE = timedelta(minutes=15)
MOST_ATTEMPTS = 5
WRONG = "The code is wrong, used or older than 15 minutes."


def draw(email: str, purpose: EmailCode.Purpose, *, at: datetime) -> str:
    """A new code for the address; an earlier one for the same purpose ends."""
    code = f"{secrets.randbelow(10**6):06}"
    EmailCode.objects.update_or_create(
        email=email,
        purpose=purpose,
        defaults={"digest": _digest(email, purpose, code), "attempts": 0, "expires_at": at + LIFE},
    )
    return code


def check(email: str, purpose: EmailCode.Purpose, code: str, *, at: datetime) -> None:
    """Raises InvalidArgument unless the code is good; after five wrong tries none is. Call it outside a transaction.

    A try counts before it is made, so that a hundred at once are not a hundred tries; a right one is given back.
    """
    rows = EmailCode.objects.filter(email=email, purpose=purpose, expires_at__gt=at, attempts__lt=MOST_ATTEMPTS)
    if not rows.update(attempts=F("attempts") + 1):
        raise InvalidArgument(WRONG)
    stored = EmailCode.objects.filter(email=email, purpose=purpose).values_list("digest", flat=True).first() or ""
    if not hmac.compare_digest(stored, _digest(email, purpose, code)):
        raise InvalidArgument(WRONG)
    EmailCode.objects.filter(email=email, purpose=purpose, digest=stored).update(attempts=F("attempts") - 1)


def use_up(email: str, purpose: EmailCode.Purpose) -> None:
    """End the code, in the transaction of what it was good for. Raises InvalidArgument when it has ended already."""
    deleted, _ = EmailCode.objects.filter(email=email, purpose=purpose).delete()
    if not deleted:
        raise InvalidArgument(WRONG)


def _digest(email: str, purpose: str, code: str) -> str:
    typed = "".join(code.split())
    return hmac.new(settings.SECRET_KEY.encode(), f"{purpose}:{email}:{typed}".encode(), sha256).hexdigest()
