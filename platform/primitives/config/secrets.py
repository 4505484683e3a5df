"""Secret values at rest: AES-256-GCM, bound to the namespace and path that they belong to."""

from __future__ import annotations

import os
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from micro.errors import FailedPrecondition

from .document import Path

NONCE_BYTES = 12


def seal(text: str, *, namespace_id: int, path: Path) -> bytes:
    """The nonce and the encrypted text. Moved to another namespace or path, it cannot be opened."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher().encrypt(nonce, text.encode(), _place(namespace_id, path))


def unseal(sealed: bytes, *, namespace_id: int, path: Path) -> str:
    """Raises FailedPrecondition when it was sealed with another key."""
    try:
        nonce, data = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        return _cipher().decrypt(nonce, data, _place(namespace_id, path)).decode()
    except InvalidTag:
        raise FailedPrecondition(
            f"The secret at {'.'.join(path)!r} was stored with another key: set it anew."
        ) from None


@cache
def _cipher() -> AESGCM:
    return AESGCM(settings.MICRO_CONFIG_SECRET_KEY)


def _place(namespace_id: int, path: Path) -> bytes:
    return "\0".join((str(namespace_id), *path)).encode()
