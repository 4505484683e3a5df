"""API tokens: drawn at random, kept as a digest, good for as long as their owner is a member."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db.models import Q

from micro.errors import Unauthenticated
from transport.callers import Account

from .access.roles import API_TOKEN, Role
from .models import ApiToken, Membership

PREFIX = "micro_"  # by which we, and those who search code for secrets, know one
HINT_CHARACTERS = len(PREFIX) + 4
MAX_CHARACTERS = 100
USE_NOTED_EVERY = timedelta(minutes=1)


def draw() -> str:
    """A new token: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is kept of a token. A plain hash will do: nobody can guess 256 bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def identify(token: str, *, at: datetime) -> Account:
    """Who the token speaks for: its owner, in its namespace, in at most the role that the owner still has there.

    Raises Unauthenticated for a token that is unknown, expired or revoked, or whose owner has left or was disabled.
    """
    row = ApiToken.objects.across_namespaces().filter(digest=digest(token[:MAX_CHARACTERS])).usable(at).first()
    if row is None:
        raise Unauthenticated("The API token is unknown, expired or revoked.")
    _note_use(row, at)
    user, slug = row.membership.user, row.membership.namespace.slug
    is_admin = row.role == Role.ADMIN and row.membership.role == Membership.Role.ADMIN
    scope = Role.MEMBER if row.role == Role.ADMIN and not is_admin else Role(row.role)
    name = user.username
    return Account(id=name, type=API_TOKEN, issuer=slug, name=name, scopes=(str(scope),), user_id=user.pk)


def _note_use(row: ApiToken, at: datetime) -> None:
    """Not at each request: that would be a write for every read."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=at - USE_NOTED_EVERY)
    ApiToken.objects.across_namespaces().filter(stale, pk=row.pk).update(last_used_at=at)
