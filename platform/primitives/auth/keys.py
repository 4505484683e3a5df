"""The key pairs that sign the tokens of all namespaces: made at first use, encrypted at rest, published as a JWKS."""

from __future__ import annotations

import base64
import json
import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils.timezone import now

from tenants.models import SigningKey

KEY_BITS = 2048
VERIFIES_FOR = timedelta(days=1)  # after it was retired: the longest life of a token
PUBLISHED_FOR = timedelta(
    minutes=2
)  # before a new key signs: sidecars look every minute, Envoy keeps connections for 30 s
_CREATION_LOCK = 7_214_002  # pg_advisory_xact_lock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs now."""

    kid: str
    key: RSAPrivateKey


def signer(*, at: datetime | None = None) -> Signer:
    """The newest key in service that SECRET_KEY opens; made when there is none."""
    return _newest(at or now()) or _make_when_missing()


@transaction.atomic
def rotate(*, at: datetime) -> Signer:
    """Make a new key, which is published at once and signs in two minutes; then the others sign no more.

    Tokens signed by those stay good until they expire: they verify for a day after.
    """
    SigningKey.objects.filter(Q(retired_at=None) | Q(retired_at__gt=at)).update(retired_at=at + PUBLISHED_FOR)
    SigningKey.objects.filter(retired_at__lte=at - VERIFIES_FOR).delete()
    return _make(at)


def public_keys() -> dict[str, RSAPublicKey]:
    """The keys by which tokens are verified, by kid."""
    rows = SigningKey.objects.filter(Q(retired_at=None) | Q(retired_at__gt=now() - VERIFIES_FOR))
    return {row.kid: _public(row.public_key) for row in rows}


def jwks() -> dict[str, Any]:
    """The same as a JSON Web Key Set; there is at least one key."""
    signer()
    return {"keys": [_jwk(kid, key) for kid, key in sorted(public_keys().items())]}


def _jwk(kid: str, key: RSAPublicKey) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key))
    return {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": document["n"], "e": document["e"]}


def _newest(at: datetime) -> Signer | None:
    """The newest key that verifiers know by now; a younger one only where there is no other."""
    in_service = SigningKey.objects.filter(Q(retired_at=None) | Q(retired_at__gt=at))
    known, young = Q(created_at__lte=at - PUBLISHED_FOR), Q(created_at__gt=at - PUBLISHED_FOR)
    for row in [*in_service.filter(known).order_by("-created_at"), *in_service.filter(young).order_by("created_at")]:
        key = _open(bytes(row.private_key), settings.SECRET_KEY)
        if key is not None:
            return Signer(row.kid, key)
        log.warning("the signing key %s was encrypted under another secret key; it signs no more", row.kid)
    return None


@lru_cache(maxsize=8)
def _open(sealed: bytes, secret_key: str) -> RSAPrivateKey | None:
    """The private key; None when it was sealed under another secret key. Opening takes a while, hence the cache."""
    try:
        pem = _cipher(secret_key).decrypt(sealed)
    except InvalidToken:
        return None
    key = serialization.load_pem_private_key(pem, password=None)
    return key if isinstance(key, RSAPrivateKey) else None


@transaction.atomic
def _make_when_missing() -> Signer:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CREATION_LOCK])
    return _newest(now()) or _make(now())


def _make(at: datetime) -> Signer:
    key = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    kid = secrets.token_hex(8)
    SigningKey.objects.create(
        kid=kid, private_key=_cipher(settings.SECRET_KEY).encrypt(pem), public_key=public.decode(), created_at=at
    )
    return Signer(kid, key)


def _public(pem: str) -> RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, RSAPublicKey):
        raise TypeError(f"a signing key is {type(key).__name__}, not RSA")
    return key


def _cipher(secret_key: str) -> Fernet:
    material = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"micro signing keys")
    return Fernet(base64.urlsafe_b64encode(material.derive(secret_key.encode())))
