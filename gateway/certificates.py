"""The certificate with which the doors speak TLS: read from the operator's files, and again when these change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from django.conf import settings
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from .resources import Resource

NAME = "certificate"  # of Envoy's secret
LOOK_EVERY_S = 2.0
SOON = timedelta(days=14)

logger = logging.getLogger(__name__)


class BadCertificate(Exception):
    """The files cannot be served; says which, and why."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the certificate with its chain is, and where its key, both PEM."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its chain, and the key that belongs to it."""

    chain: str
    key: str = field(repr=False)
    expires_at: datetime


def files_from_settings() -> Files | None:
    """Where the operator says that they are; None for doors without TLS."""
    chain, key = settings.MICRO_TLS_CERT, settings.MICRO_TLS_KEY
    return Files(chain, key) if chain and key else None


def read(files: Files, *, at: datetime) -> Certificate:
    """What the files hold. Raises BadCertificate unless it can be served at `at`."""
    chain, key = _text(files.chain), _text(files.key)
    try:
        first = x509.load_pem_x509_certificates(chain.encode())[0]
    except ValueError:
        raise BadCertificate(f"{files.chain} is no certificate in PEM.") from None
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        raise BadCertificate(f"{files.key} is no private key in PEM, or needs a password.") from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*form) != first.public_key().public_bytes(*form):
        raise BadCertificate(f"{files.key} is not the key of {files.chain}.")
    if first.not_valid_after_utc <= at:
        raise BadCertificate(f"{files.chain} has expired on {first.not_valid_after_utc:%Y-%m-%d}.")
    return Certificate(chain, key, first.not_valid_after_utc)


def resource(certificate: Certificate) -> Resource:
    """The certificate as Envoy takes it."""
    pair = {
        "certificate_chain": {"inline_string": certificate.chain},
        "private_key": {"inline_string": certificate.key},
    }
    return Resource.of(NAME, secret_pb2.Secret(name=NAME, tls_certificate=pair))


async def follow(files: Files, deliver: Callable[[Resource], None]) -> None:
    """Deliver what the files hold, now and when they change. What cannot be served is logged; the last one stays."""
    last: tuple[str, str] | None = None
    while True:
        try:
            seen = await asyncio.to_thread(lambda: (_text(files.chain), _text(files.key)))
            if seen != last:
                last = seen
                deliver(resource(_checked(read(files, at=datetime.now(UTC)))))
                logger.info("the certificate %s is served", files.chain)
        except BadCertificate as error:
            logger.error("the certificate is not taken: %s", error)
        await asyncio.sleep(LOOK_EVERY_S)


def _checked(certificate: Certificate) -> Certificate:
    if certificate.expires_at < datetime.now(UTC) + SOON:
        logger.warning("the certificate expires on %s: renew it", certificate.expires_at.strftime("%Y-%m-%d"))
    return certificate


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadCertificate(f"{path} cannot be read: {reason}.") from None
