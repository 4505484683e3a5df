"""Accounts come, prove who they are, and go. Except where a Namespace is asked for, its schema is already selected."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django_tenants.utils import tenant_context

from micro.errors import AlreadyExists, InvalidArgument, Unauthenticated
from tenants.models import Membership, Namespace
from transport import callers

from . import secrets, tokens
from .models import Account, RefreshToken

DEFAULT_EXPIRY = timedelta(minutes=15)
MAX_EXPIRY = timedelta(days=1)
REFRESH_LIFE = timedelta(days=30)  # of the newest link of a chain
REFRESH_GRACE = timedelta(seconds=60)  # of a refresh token after its successor was first used
REUSE_WATCHED_FOR = timedelta(days=1)  # how long a lapsed one is remembered, to tell a thief from a stranger
MAX_NAME_CHARACTERS = 255
MAX_TYPE_CHARACTERS = 40
MAX_CLAIM_CHARACTERS = 2048  # every call carries them in a header


@dataclass(frozen=True, slots=True)
class Tokens:
    """An access token that is good until `expires_at`, and the refresh token that gets the next one."""

    access: str
    refresh: str
    created_at: datetime
    expires_at: datetime


def log_in(*, namespace: str, id: str, secret: str, expiry: timedelta, at: datetime) -> Tokens:
    """Tokens for the account with this id or name.

    Raises InvalidArgument for an unknown account, Unauthenticated for a wrong secret.
    """
    account = _prove(_find(namespace, id), secret)
    return _tokens(account, namespace=namespace, expiry=expiry, at=at, family=uuid.uuid4())


def refresh(*, namespace: str, token: str, expiry: timedelta, at: datetime) -> Tokens:
    """Tokens for the account that holds the refresh token, which stays good until 60 s after its successor's first use.

    Use after that ends the whole chain, because one of its two users has stolen it. Raises InvalidArgument for a token
    that is unknown, expired or ended.
    """
    with transaction.atomic():
        held = _use(token, at)
        account = _still_allowed(held.account, namespace) if held else None
        if held and account:
            return _tokens(account, namespace=namespace, expiry=expiry, at=at, family=held.family, parent=held.digest)
    raise InvalidArgument("invalid token provided")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """What an account shall be; blanks get defaults: its name is its id, its secret random."""

    id: str
    name: str = ""
    type: str = ""
    secret: str = ""
    scopes: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def generate(new: NewAccount, *, namespace: str) -> tuple[Account, str]:
    """Make an account with a secret of its own; the account and the secret in plain text.

    Raises InvalidArgument without an id, AlreadyExists when its id or name is taken.
    """
    _require_sound(new)
    name = new.name or new.id
    sealed = secrets.seal_chosen(new.secret) if new.secret else ""
    plain = new.secret or secrets.draw()
    for taken, what in ((new.id, "ID"), (name, "Name")):
        if _find(namespace, taken) is not None:
            raise AlreadyExists(f"Account with this {what} already exists")
    account, is_new = Account.objects.get_or_create(
        account_id=new.id,
        defaults={
            "name": name,
            "type": new.type or "user",
            "scopes": list(new.scopes),
            "metadata": dict(new.metadata),
            "secret": sealed or secrets.seal_random(plain),
        },
    )
    if not is_new:
        raise AlreadyExists("Account with this ID already exists")
    return account, plain


def _require_sound(new: NewAccount) -> None:
    if not new.id:
        raise InvalidArgument("ID required")
    if max(len(new.id), len(new.name)) > MAX_NAME_CHARACTERS or not (new.id + new.name).isprintable():
        raise InvalidArgument(f"An account's ID and name have at most {MAX_NAME_CHARACTERS} characters, all printable.")
    if len(new.type) > MAX_TYPE_CHARACTERS:
        raise InvalidArgument(f"An account's type has at most {MAX_TYPE_CHARACTERS} characters.")
    if sum(map(len, [*new.scopes, *new.metadata, *new.metadata.values()])) > MAX_CLAIM_CHARACTERS:
        raise InvalidArgument(
            f"An account's scopes and metadata have at most {MAX_CLAIM_CHARACTERS} characters in all."
        )


def create_service_account(*, namespace: Namespace, id: str, secret: str) -> None:
    """Let a release prove itself with `secret`, which has at least 128 random bits; may be repeated."""
    facts = {
        "name": id,
        "type": "service",
        "scopes": ["service"],
        "secret": secrets.seal_random(secret),
        "user_id": None,
    }
    with tenant_context(namespace):
        Account.objects.update_or_create(account_id=id, defaults=facts)


def delete_account(*, namespace: Namespace, id: str) -> None:
    """Remove the account and all by which its tokens could be renewed; an unknown id is no error."""
    with tenant_context(namespace):
        Account.objects.filter(account_id=id).delete()


def caller(account: Account, *, namespace: str) -> callers.Account:
    """The account as its tokens describe it."""
    return callers.Account(
        id=account.account_id,
        type=account.type,
        issuer=namespace,
        name=account.name,
        scopes=tuple(account.scopes),
        metadata=account.metadata,
    )


def _find(namespace: str, id: str) -> Account | Membership | None:
    """Who has this id or, failing that, this name: the membership of a user, or an account with a secret of its own."""
    members = Membership.objects.in_namespace(namespace).select_related("user")
    found: Membership | None = members.filter(user__username=id, user__is_active=True).first()
    if found is not None:
        return found
    own = Account.objects.filter(Q(account_id=id) | Q(name=id), user_id=None)
    return min(own, key=lambda account: account.account_id != id, default=None)


def _prove(found: Account | Membership | None, secret: str) -> Account:
    if found is None:
        raise InvalidArgument("Account not found with this ID")
    stored = found.secret if isinstance(found, Account) else found.user.password
    if not secrets.matches(secret, stored):
        raise Unauthenticated("Secret not correct")
    return found if isinstance(found, Account) else _account_of(found)


def _account_of(membership: Membership) -> Account:
    """The account that a membership makes, brought up to date with it; it takes its name from whoever else had it."""
    user = membership.user
    Account.objects.filter(Q(account_id=user.username) | Q(name=user.username), user_id=None).delete()
    scopes = ["admin"] if membership.role == Membership.Role.ADMIN else []
    facts = {"account_id": user.username, "name": user.username, "type": "user", "scopes": scopes}
    return Account.objects.update_or_create(user_id=user.pk, defaults=facts)[0]


def _still_allowed(account: Account, namespace: str) -> Account | None:
    """The account as it is now; None when the user behind it has left or was disabled."""
    if account.user_id is None:
        return account
    members = Membership.objects.in_namespace(namespace).select_related("user")
    membership = members.filter(user_id=account.user_id, user__is_active=True).first()
    return _account_of(membership) if membership else None


def _use(token: str, at: datetime) -> RefreshToken | None:
    """The refresh token, marked as used; None when it is not good, in which case its chain may have ended."""
    rows = RefreshToken.objects.select_for_update().select_related("account")
    held = rows.filter(digest=_digest(token)).first()
    if held is None or held.expires_at <= at:
        return None
    if held.lapses_at is not None and held.lapses_at <= at:
        RefreshToken.objects.filter(family=held.family).delete()
        return None
    if held.used_at is None:
        RefreshToken.objects.filter(pk=held.pk).update(used_at=at)
        rivals = Q(digest=held.parent) | Q(parent=held.parent) & ~Q(pk=held.pk) if held.parent else Q(pk=None)
        RefreshToken.objects.filter(rivals, family=held.family, lapses_at=None).update(
            lapses_at=at + REFRESH_GRACE, expires_at=at + REUSE_WATCHED_FOR
        )
    return held


def _tokens(
    account: Account, *, namespace: str, expiry: timedelta, at: datetime, family: uuid.UUID, parent: str = ""
) -> Tokens:
    life = min(expiry or DEFAULT_EXPIRY, MAX_EXPIRY)
    access = tokens.issue(caller(account, namespace=namespace), at=at, expiry=life)
    following = secrets.draw()
    RefreshToken.objects.filter(account=account, expires_at__lte=at).delete()
    RefreshToken.objects.create(
        digest=_digest(following), account=account, family=family, parent=parent, expires_at=at + REFRESH_LIFE
    )
    return Tokens(access=access, refresh=following, created_at=at, expires_at=at + life)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
