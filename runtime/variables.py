"""What nobody may read again: encrypted at rest, opened only where a replica is started or a source is fetched."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import lru_cache

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from .models import Secret, Service


def seal(service: Service, values: Mapping[str, str]) -> dict[str, int]:
    """Keep the values; the ids by which deployments and releases name them."""
    cipher = _cipher(settings.SECRET_KEY)
    return {
        name: Secret.objects.create(service=service, name=name, sealed=cipher.encrypt(value.encode())).pk
        for name, value in values.items()
    }


def unseal(ids: Mapping[str, int]) -> dict[str, str]:
    """The values by variable. Raises InvalidToken when SECRET_KEY is not the one that sealed them."""
    cipher = _cipher(settings.SECRET_KEY)
    rows = Secret.objects.in_bulk(ids.values()) if ids else {}
    return {name: cipher.decrypt(bytes(rows[id].sealed)).decode() for name, id in ids.items()}


def unseal_one(id: int | None) -> str:
    """The value; blank for no id. Raises as `unseal` does."""
    return unseal({"": id})[""] if id is not None else ""


@lru_cache(maxsize=2)
def _cipher(secret_key: str) -> Fernet:
    material = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"micro service variables")
    return Fernet(base64.urlsafe_b64encode(material.derive(secret_key.encode())))
