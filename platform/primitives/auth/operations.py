"""Accounts come, prove who they are, and go. Except where a Namespace is asked for, its schema is already selected."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django_tenants.utils import tenant_context

from micro.errors import AlreadyExists, InvalidArgument, ResourceExhausted, Unauthenticated
from tenants import quotas, throttling
from tenants.access.actors import require_own
from tenants.access.permissions import Permission
from tenants.access.roles import API_TOKEN, USER, Role, role, service_of
from tenants.models import Membership, Namespace, User
from transport import callers

from . import secrets, tokens
from .models import Account, RefreshToken

GENERATED, SERVICE = "account", "service"  # types of accounts that no user is behind
OF_PEOPLE = frozenset({USER, API_TOKEN})

DEFAULT_EXPIRY = timedelta(minutes=15)
MAX_EXPIRY = timedelta(days=1)
REFRESH_LIFE = timedelta(days=30)  # of the newest link of a chain
REFRESH_GRACE = timedelta(seconds=60)  # of a refresh token after its successor was first used
REUSE_WATCHED_FOR = timedelta(days=1)  # how long a lapsed one is remembered, to tell a thief from a stranger
MAX_NAME_CHARACTERS = 255
MAX_TYPE_CHARACTERS = 40
MAX_SECRET_CHARACTERS = 1024
MAX_CLAIM_CHARACTERS = 2048  # every call carries them in a header

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tokens:
    """An access token that is good until `expires_at`, and the refresh token that gets the next one."""

    access: str
    refresh: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Somebody at `address` ("" when unknown) says that they have this id or name, and shows this secret."""

    id: str
    secret: str
    address: str = ""


def log_in(claim: Claim, *, namespace: str, expiry: timedelta, at: datetime) -> Tokens:
    """Tokens for the account that the claim is about.

    Raises InvalidArgument for an unknown account, Unauthenticated for a wrong secret, ResourceExhausted when there were
    too many wrong ones.
    """
    found = _prove(claim, namespace=namespace, at=at)
    family = RefreshToken(family=uuid.uuid4(), credential=secrets.fingerprint(_stored(found)))
    return _tokens(_row(found), namespace=namespace, expiry=expiry, at=at, after=family)


def admit(user: User, *, namespace: str, expiry: timedelta, at: datetime) -> Tokens:
    """Tokens for a member who has proved themselves elsewhere. Raises InvalidArgument when they are none any more."""
    members = Membership.objects.in_namespace(namespace).select_related("user")
    found: Membership | None = members.filter(user=user, user__is_active=True).first()
    family = RefreshToken(family=uuid.uuid4(), credential=secrets.fingerprint(_stored(_require_found(found))))
    return _tokens(_row(_require_found(found)), namespace=namespace, expiry=expiry, at=at, after=family)


def refresh(*, namespace: str, token: str, expiry: timedelta, at: datetime) -> Tokens:
    """Tokens for the account that holds the refresh token, which stays good until 60 s after its successor's first use.

    Use after that ends the whole chain, because one of its two users has stolen it. Raises InvalidArgument for a token
    that is unknown, expired or ended.
    """
    with transaction.atomic():
        held = _use(token, at)
        found = _still_there(held, namespace) if held else None
        if held and found:
            return _tokens(_row(found), namespace=namespace, expiry=expiry, at=at, after=held)
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


def generate(new: NewAccount, *, namespace: str, by: callers.Account | None = None) -> tuple[Account, str]:
    """Make an account with a secret of its own; the account and the secret in plain text. One that a service makes,
    itself or by another account that it made, goes with the service.

    Raises InvalidArgument without an id or for a type that is not for it, AlreadyExists when its id or name is taken,
    ResourceExhausted at the limit, Unauthenticated when the account of `by` is gone.
    """
    _require_sound(new)
    made_by = _service_behind(by, namespace) if by else ""
    _require_free(new, namespace)  # looked at again below; sealing takes a while, and need not for who is refused
    plain = new.secret or secrets.draw()
    sealed = secrets.seal_chosen(plain) if new.secret else secrets.seal_random(plain)
    with transaction.atomic():
        Namespace.objects.select_for_update(no_key=True).get(
            slug=namespace
        )  # one at a time: nobody passes the limit together
        _require_free(new, namespace)
        account = Account.objects.create(
            account_id=new.id,
            name=new.name or new.id,
            type=new.type or GENERATED,
            made_by=made_by,
            scopes=list(new.scopes),
            metadata=dict(new.metadata),
            secret=sealed,
        )
    return account, plain


def _service_behind(by: callers.Account, namespace: str) -> str:
    """The account of the service that makes an account through `by`, or blank."""
    if by.issuer != namespace or by.type == USER:
        return ""
    row = Account.objects.filter(account_id=by.id, user_id=None).first()
    if row is None:
        raise Unauthenticated("The account that asks is gone.")
    return by.id if service_of(by) else row.made_by


def _require_free(new: NewAccount, namespace: str) -> None:
    for taken, what in ((new.id, "ID"), (new.name or new.id, "Name")):
        if _is_taken(namespace, taken):
            raise AlreadyExists(f"Account with this {what} already exists")
    most = quotas.limit(namespace, "accounts")
    if Account.objects.filter(user_id=None).count() >= most:
        raise ResourceExhausted(f"Namespace {namespace!r} has {most} accounts, which is its limit: delete some.")


def _require_sound(new: NewAccount) -> None:
    if not new.id:
        raise InvalidArgument("ID required")
    if max(len(new.id), len(new.name)) > MAX_NAME_CHARACTERS or not (new.id + new.name).isprintable():
        raise InvalidArgument(f"An account's ID and name have at most {MAX_NAME_CHARACTERS} characters, all printable.")
    if new.type in OF_PEOPLE:
        raise InvalidArgument(f"The type {new.type} is that of people: leave it out, or choose another word.")
    if len(new.type) > MAX_TYPE_CHARACTERS:
        raise InvalidArgument(f"An account's type has at most {MAX_TYPE_CHARACTERS} characters.")
    if sum(map(len, [*new.scopes, *new.metadata, *new.metadata.values()])) > MAX_CLAIM_CHARACTERS:
        raise InvalidArgument(
            f"An account's scopes and metadata have at most {MAX_CLAIM_CHARACTERS} characters in all."
        )
    _require_secret_length(new.secret)


def _require_secret_length(secret: str) -> None:
    if len(secret) > MAX_SECRET_CHARACTERS:
        raise InvalidArgument(f"A secret has at most {MAX_SECRET_CHARACTERS} characters.")


def accounts_of(*, namespace: str) -> list[callers.Account]:
    """Every account of the namespace by id: of its members, whether they ever logged in or not, and the others."""
    members = Membership.objects.in_namespace(namespace).filter(user__is_active=True).select_related("user")
    found = [
        *Account.objects.filter(user_id=None),
        *(Account(user_id=member.user_id, **_facts(member)) for member in members),
    ]
    return [caller(account, namespace=namespace) for account in sorted(found, key=lambda one: one.account_id)]


@transaction.atomic
def delete(*, namespace: str, id: str, by: callers.Account) -> None:
    """Remove the account with this id or name, and all by which its tokens could be renewed.

    A member leaves the namespace. Raises InvalidArgument for an unknown account and for one's own, PermissionDenied for
    a member's when `by` administers no members.
    """
    if not id:
        raise InvalidArgument("Missing ID")
    found = _require_found(_find(namespace, id))
    if _is_own(by, found, namespace):
        raise InvalidArgument("Can't delete your own account")
    if isinstance(found, Membership):
        require_own(by, Permission.MEMBERS_WRITE, is_own=False)
        Account.objects.filter(user_id=found.user_id).delete()
    found.delete()


def change_secret(claim: Claim, *, namespace: str, new_secret: str, by: callers.Account, at: datetime) -> None:
    """Give the account that the claim is about another secret; its refresh tokens end.

    The old one must be shown, except to `_may_reset`. Raises InvalidArgument for a blank new secret and an unknown
    account, Unauthenticated for a wrong old one, ResourceExhausted when there were too many wrong ones.
    """
    if not new_secret:
        raise InvalidArgument("New secret should not be blank")
    _require_secret_length(new_secret)
    found = _require_found(_find(namespace, claim.id))
    if claim.secret or not _may_reset(by, found, namespace):
        _prove(claim, namespace=namespace, at=at)
    sealed = secrets.seal_chosen(new_secret)
    with transaction.atomic():
        if isinstance(found, Membership):
            User.objects.filter(pk=found.user_id).update(password=sealed)
            RefreshToken.objects.filter(account__user_id=found.user_id).delete()
        else:
            Account.objects.filter(pk=found.pk).update(secret=sealed)
            RefreshToken.objects.filter(account=found).delete()


def _may_reset(by: callers.Account, found: Account | Membership, namespace: str) -> bool:
    """Whether an admin may do without the old secret.

    A member's password opens other namespaces too: only the admins of the platform's namespace reset that.
    """
    if role(by) not in (Role.ADMIN, Role.OPERATOR):
        return False
    return not _is_own(by, found, namespace) and (
        by.crosses_namespaces or (by.issuer == namespace and isinstance(found, Account))
    )


def _is_own(by: callers.Account, found: Account | Membership, namespace: str) -> bool:
    if by.issuer != namespace:
        return False
    if isinstance(found, Membership):
        return by.type == USER and by.user_id in (found.user_id, None) and by.id == found.user.username
    return by.user_id is None and by.id == found.account_id


def create_service_account(
    *, namespace: Namespace, id: str, secret: str, service: str, grants: Sequence[str] = ()
) -> None:
    """Let a release of a service prove itself with `secret`, which has at least 128 random bits; may be repeated.

    Raises AlreadyExists when somebody else has the id.
    """
    scopes = [SERVICE, f"{callers.SERVICE_SCOPE}{service}", *grants]
    facts = {"name": id, "type": SERVICE, "scopes": scopes, "user_id": None}
    with tenant_context(namespace):
        known = Account.objects.filter(account_id=id).first()
        is_anothers = known is not None and scopes[1] not in known.scopes
        if is_anothers or _members(namespace.slug, id).exists() or (known is None and _is_taken(namespace.slug, id)):
            raise AlreadyExists(
                f"The release's account would be called {id}, as another account or member is: delete or rename that."
            )
        if known is None or not secrets.matches(secret, known.secret):  # else its refresh tokens stay good
            facts["secret"] = secrets.seal_random(secret)
        Account.objects.update_or_create(account_id=id, defaults=facts)


def delete_account(*, namespace: Namespace, id: str) -> None:
    """Remove the account and all by which its tokens could be renewed; an unknown id is no error."""
    with tenant_context(namespace):
        Account.objects.filter(account_id=id).delete()


def delete_made_by(*, namespace: Namespace, ids: Sequence[str]) -> None:
    """Remove the accounts that the accounts of a service made, itself or by others."""
    with tenant_context(namespace):
        Account.objects.filter(made_by__in=list(ids)).exclude(made_by="").delete()


def is_taken(namespace: Namespace, name: str) -> bool:
    """Whether an account without a user behind it has this id or name."""
    with tenant_context(namespace):
        return Account.objects.filter(Q(account_id=name) | Q(name=name), user_id=None).exists()


def caller(account: Account, *, namespace: str) -> callers.Account:
    """The account as its tokens describe it."""
    return callers.Account(
        id=account.account_id,
        type=account.type,
        issuer=namespace,
        name=account.name,
        scopes=tuple(account.scopes),
        metadata=account.metadata,
        user_id=account.user_id,
    )


def _members(namespace: str, username: str) -> QuerySet[Membership]:
    """The member of this name, disabled or not."""
    rows: QuerySet[Membership] = Membership.objects.in_namespace(namespace).filter(user__username=username)
    return rows


def _is_taken(namespace: str, name: str) -> bool:
    """Whether a member, who may be disabled, or an account has this name or id."""
    return _members(namespace, name).exists() or _find(namespace, name) is not None


def _find(namespace: str, id: str) -> Account | Membership | None:
    """Who has this id or, failing that, this name: the membership of a user, or an account with a secret of its own."""
    members = Membership.objects.in_namespace(namespace).select_related("user")
    found: Membership | None = members.filter(user__username=id, user__is_active=True).first()
    if found is not None:
        return found
    own = Account.objects.filter(Q(account_id=id) | Q(name=id), user_id=None)
    return min(own, key=lambda account: account.account_id != id, default=None)


def _require_found(found: Account | Membership | None) -> Account | Membership:
    if found is None:
        raise InvalidArgument("Account not found with this ID")
    return found


def _prove(claim: Claim, *, namespace: str, at: datetime) -> Account | Membership:
    """Who the claim is about, once its secret has proved it. Secrets that nobody can guess are not slowed."""
    found = _find(namespace, claim.id)
    stored = _stored(found) if found else ""
    if found and secrets.is_random(stored) and secrets.matches(claim.secret, stored):
        return found
    guess = throttling.Guess(namespace, _id_of(found) if found else claim.id, claim.address)
    with throttling.guarded(guess, at=at):
        if not secrets.matches(claim.secret, _stored(_require_found(found))):
            raise Unauthenticated("Secret not correct")
    return _require_found(found)


def _id_of(found: Account | Membership) -> str:
    return found.account_id if isinstance(found, Account) else found.user.username


def _stored(found: Account | Membership) -> str:
    return found.secret if isinstance(found, Account) else found.user.password


def _row(found: Account | Membership) -> Account:
    """The account; that of a membership is brought up to date with it, and takes its name from whoever else had it."""
    if isinstance(found, Account):
        return found
    facts = _facts(found)
    taken = Account.objects.filter(Q(account_id=facts["account_id"]) | Q(name=facts["name"]), user_id=None)
    for row in taken:  # it was there before names of members were asked for
        log.warning("the account %s of %s makes way for the member of that name", row.account_id, found.namespace_id)
        row.delete()
    return Account.objects.update_or_create(user_id=found.user_id, defaults=facts)[0]


def _facts(membership: Membership) -> dict[str, Any]:
    name = membership.user.username
    scopes = ["admin"] if membership.role == Membership.Role.ADMIN else []
    return {"account_id": name, "name": name, "type": USER, "scopes": scopes}


def _still_there(held: RefreshToken, namespace: str) -> Account | Membership | None:
    """Whose token it is; None when they have left, were disabled, or have another secret than the chain began with."""
    found: Account | Membership | None = held.account
    if held.account.user_id is not None:
        members = Membership.objects.in_namespace(namespace).select_related("user")
        found = members.filter(user_id=held.account.user_id, user__is_active=True).first()
    return found if found and secrets.fingerprint(_stored(found)) == held.credential else None


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


def _tokens(account: Account, *, namespace: str, expiry: timedelta, at: datetime, after: RefreshToken) -> Tokens:
    """An access token, and the refresh token that comes `after` another of its chain (one without a digest: first)."""
    bearer = caller(account, namespace=namespace)
    is_of_a_service = bool(service_of(bearer) or account.made_by)  # killed, it ends soon
    life = min(expiry or DEFAULT_EXPIRY, DEFAULT_EXPIRY if is_of_a_service else MAX_EXPIRY)
    access = tokens.issue(bearer, at=at, expiry=life)
    following = secrets.draw()
    RefreshToken.objects.filter(account=account, expires_at__lte=at).delete()
    RefreshToken.objects.create(
        digest=_digest(following),
        account=account,
        credential=after.credential,
        family=after.family,
        parent=after.digest,
        expires_at=at + REFRESH_LIFE,
    )
    return Tokens(access=access, refresh=following, created_at=at, expires_at=at + life)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
