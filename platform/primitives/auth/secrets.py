"""Secrets of accounts, hashed. What a person chose needs a slow hash; what we drew from 256 random bits needs none."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading

from django.contrib.auth.hashers import check_password, make_password

_RANDOM = "sha256"
_slow_hashes = threading.BoundedSemaphore(2)  # each takes 100 MB


def draw() -> str:
    """A new random secret."""
    return secrets.token_urlsafe(32)


def seal_random(secret: str) -> str:
    """The stored form of a secret with at least 128 random bits."""
    salt = secrets.token_hex(8)
    return f"{_RANDOM}${salt}${_digest(salt, secret)}"


def seal_chosen(secret: str) -> str:
    """The stored form of a secret that somebody made up."""
    with _slow_hashes:
        return make_password(secret)


def is_random(stored: str) -> bool:
    """Whether `stored` is the form of a secret that cannot be guessed."""
    return stored.startswith(f"{_RANDOM}$")


def fingerprint(stored: str) -> str:
    """What changes when the secret behind `stored` is changed, and says nothing else."""
    return hashlib.sha256(f"fingerprint {stored}".encode()).hexdigest()


def matches(secret: str, stored: str) -> bool:
    """Whether `stored` is a form of `secret`; never for a blank form."""
    kind, _, rest = stored.partition("$")
    if kind == _RANDOM:
        salt, _, digest = rest.partition("$")
        return hmac.compare_digest(digest, _digest(salt, secret))
    with _slow_hashes:
        return bool(stored) and check_password(secret, stored)


def _digest(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}{secret}".encode()).hexdigest()
