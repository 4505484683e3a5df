"""Proving a password in a browser: slow for who guesses, and no worse for the owner while somebody does."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.db.models import Q

from micro.errors import Unauthenticated
from transport.addresses import network

from . import limits
from .models import User

TRIES_PER_ACCOUNT, ACCOUNT_WINDOW = 10, timedelta(minutes=2)
TRIES_PER_ORIGIN, ORIGIN_WINDOW = 100, timedelta(minutes=1)
WRONG = "The e-mail address or the password is wrong."
_slow_hashes = threading.BoundedSemaphore(2)  # each takes 100 MB


def prove(*, name: str, password: str, origin: str, device: str, at: datetime) -> User:
    """The user with this name or e-mail address. `device` marks one from which they have logged in before, or is blank.

    Raises Unauthenticated, alike for whatever is wrong, and ResourceExhausted after too many tries: those of others do
    not count against a known device.
    """
    name = name.strip().lower() if "@" in name else name.strip()
    limits.spend(f"login-from:{network(origin)}", limit=TRIES_PER_ORIGIN, per=ORIGIN_WINDOW, at=at)
    key = f"login:{name}:{device}" if device else f"login:{name}"
    limits.spend(key, limit=TRIES_PER_ACCOUNT, per=ACCOUNT_WINDOW, at=at)
    user = User.objects.filter(Q(username=name) | Q(email__iexact=name, email__gt="")).order_by("pk").first()
    if not _matches(user, password) or user is None or not user.is_active:
        raise Unauthenticated(WRONG)
    limits.renew(key)
    return user


def _matches(user: User | None, password: str) -> bool:
    with _slow_hashes:
        if user is None:
            make_password(password)  # as long as it takes for a user who is there
            return False
        return user.check_password(password)
