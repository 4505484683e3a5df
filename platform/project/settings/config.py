"""The key of secret configuration values. Lost with it: every secret that was set."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

from project import env

from .base import SECRET_KEY

SECRET_KEY_BYTES = 32


def _secret_key() -> bytes:
    """32 bytes: given as base64, or made from SECRET_KEY."""
    if "MICRO_CONFIG_SECRET_KEY" not in os.environ:
        return hmac.digest(SECRET_KEY.encode(), b"config secrets", hashlib.sha256)
    try:
        key = base64.b64decode(env.text("MICRO_CONFIG_SECRET_KEY"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != SECRET_KEY_BYTES:
        raise env.BadEnvironment(f"MICRO_CONFIG_SECRET_KEY is not base64 of {SECRET_KEY_BYTES} bytes.")
    return key


MICRO_CONFIG_SECRET_KEY = _secret_key()
