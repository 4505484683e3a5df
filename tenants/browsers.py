"""The mark of a browser that somebody has logged in from: it says nothing, to nobody but us, and we keep none of it."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.core import signing

REMEMBERED = timedelta(days=180)


def mark(username: str) -> str:
    """A new mark: random, with a keyed digest over it and the name, which is not in it."""
    return _signer(username).sign(secrets.token_urlsafe(16))


def known(mark: str, *, name: str) -> str:
    """The mark again, when it is one of a browser from which `name` has logged in; blank otherwise."""
    try:
        _signer(name).unsign(mark, max_age=REMEMBERED)
    except signing.BadSignature:
        return ""
    return mark


def _signer(name: str) -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=f"tenants.browsers:{name.strip().lower()}")
