"""The grammar of names that become parts of hosts, paths and subjects, and the names nobody may take."""

from __future__ import annotations

import re

from django.conf import settings

from micro.errors import InvalidArgument

RESERVED_NAMESPACES = frozenset({"micro", "www", "api", "proxy", "app", "admin"})
PLATFORM_SERVICES = frozenset(
    "api auth broker client config debug events network proxy registry router runtime server signup store".split()  # noqa: SIM905
)
OWN_NAMES = frozenset({"grpc", "micro"})  # of paths at the gateway, and of everybody's usual table
LABEL_LENGTH = 63  # of one part of a host name
NAMESPACE_LENGTH = 40

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_USERNAME = re.compile(r"[A-Za-z0-9@.+_-]{1,150}")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[^\s@\"<>\x00-\x1f\x7f]+")
_ORIGIN = re.compile(r"https?://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")
_SERVICE = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


def validate_namespace(slug: str) -> None:
    """Raises InvalidArgument unless `slug` may name a new namespace."""
    if not _LABEL.fullmatch(slug) or "--" in slug or len(slug) > NAMESPACE_LENGTH:
        raise InvalidArgument(
            f"The namespace {slug!r} must be 1 to {NAMESPACE_LENGTH} lower-case letters, digits and single hyphens, "
            "with a letter or digit at both ends."
        )
    if slug in RESERVED_NAMESPACES or slug in settings.MICRO_RESERVED_NAMES:
        raise InvalidArgument(f"The namespace {slug!r} is reserved.")


def require_username(username: str) -> None:
    """Raises InvalidArgument unless `username` may name a user who is made by an operator."""
    if not _USERNAME.fullmatch(username):
        raise InvalidArgument(f"The user name {username[:100]!r} must be 1 to 150 letters, digits and @.+_-.")


def require_email(email: str) -> None:
    """Raises InvalidArgument unless we take the address. Quoted ones are legal and nobody's: they may hold anything."""
    if not _EMAIL.fullmatch(email):
        raise InvalidArgument("An e-mail address has no quotes, blanks or control characters.")


def is_origin(text: str) -> bool:
    """Whether a browser may send this as Origin for a page that has one."""
    return _ORIGIN.fullmatch(text) is not None


def validate_service(name: str, *, namespace: str = "") -> None:
    """Raises InvalidArgument unless `name` may name a service; one with dots gets a path only, no host."""
    if not _SERVICE.fullmatch(name) or "--" in name or ".." in name or len(name) > LABEL_LENGTH:
        raise InvalidArgument(
            f"The service name {name!r} must be 1 to {LABEL_LENGTH} lower-case letters, digits, dots "
            "and single hyphens, with a letter or digit at both ends."
        )
    if name in PLATFORM_SERVICES | OWN_NAMES or name.startswith("grpc."):
        raise InvalidArgument(f"The service name {name!r} is the platform's own.")
    if namespace and "." not in name and len(name) + len("--") + len(namespace) > LABEL_LENGTH:
        raise InvalidArgument(
            f"The service name {name!r} is too long: with its namespace {namespace!r} "
            f"it must fit into {LABEL_LENGTH} characters."
        )
