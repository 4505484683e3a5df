"""Logging in by a browser, for programs that have none: RFC 8628's device codes.

A program asks, and shows its user a short code; the user confirms that code in a browser where they are logged in; the
program, which asks again and again with a long code of its own, is then told once who it acts for.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from django.db import IntegrityError, transaction

from micro.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from transport.addresses import network

from . import limits
from .models import DeviceLogin, Membership, Namespace, User

LIFE = timedelta(minutes=10)
INTERVAL = timedelta(seconds=2)  # between two questions of one program
STARTS_PER_ORIGIN = 60  # an hour
GUESSES_PER_USER = 60  # an hour: of 20^8 codes
WINDOW = timedelta(hours=1)
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # spells no words, and nothing in it looks like something else
CODE_LENGTH = 8
MAX_PROGRAM_CHARACTERS = 100
UNKNOWN = "The code is wrong, used or older than 10 minutes. Start again in the terminal."


class State(Enum):
    """What a program that asks is told."""

    PENDING = auto()
    SLOW_DOWN = auto()
    CONFIRMED = auto()
    REFUSED = auto()
    EXPIRED = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """How far it is; with CONFIRMED for whom, and in which namespace."""

    state: State
    user: User | None = None
    namespace: Namespace | None = None


def start(*, program: str, wanted: str, origin: str, at: datetime) -> tuple[DeviceLogin, str]:
    """Begin; the row and the program's own code. `wanted` is the namespace it would like, or blank.

    Raises ResourceExhausted when that was asked for too often from `origin`.
    """
    limits.spend(f"device-from:{network(origin)}", limit=STARTS_PER_ORIGIN, per=WINDOW, at=at)
    DeviceLogin.objects.filter(expires_at__lte=at).delete()
    device_code = secrets.token_urlsafe(32)
    known = _printable(program)[:MAX_PROGRAM_CHARACTERS]
    facts = {"program": known or "a program", "wanted": _printable(wanted)[:40], "origin": origin[:60]}
    for _ in range(3):  # two codes alike: once in a billion times
        try:
            with transaction.atomic():
                row = DeviceLogin.objects.create(
                    digest=_digest(device_code), user_code=_draw(), created_at=at, expires_at=at + LIFE, **facts
                )
        except IntegrityError:
            continue
        return row, device_code
    raise ResourceExhausted("There are too many logins under way. Try again in a minute.")


def find(*, typed: str, by: User, at: datetime) -> DeviceLogin:
    """What waits under the code that a user typed. Raises InvalidArgument for none, ResourceExhausted for guessing."""
    limits.spend(f"device-code:{by.username}", limit=GUESSES_PER_USER, per=WINDOW, at=at)
    row = DeviceLogin.objects.filter(user_code=normal(typed), user=None, is_refused=False, expires_at__gt=at).first()
    if row is None:
        raise InvalidArgument(UNKNOWN)
    return row


def choices(*, by: User, wanted: str = "") -> list[str]:
    """The namespaces a user may choose from, the one that is wanted first if it is among them."""
    rows = Membership.objects.across_namespaces().filter(user=by).order_by("pk")
    slugs = list(rows.values_list("namespace__slug", flat=True))
    return sorted(slugs, key=lambda slug: slug != wanted)


def confirm(*, typed: str, namespace: str, by: User, at: datetime) -> DeviceLogin:
    """Let the program act for `by` in the namespace, of which they are a member.

    Raises PermissionDenied when they are not, and as `find` does.
    """
    row = find(typed=typed, by=by, at=at)
    if namespace not in choices(by=by):
        raise PermissionDenied(f"You are no member of the namespace {namespace!r}.")
    changed = DeviceLogin.objects.filter(pk=row.pk, user=None, is_refused=False)
    if not changed.update(user=by, chosen=Namespace.objects.get(slug=namespace)):
        raise InvalidArgument(UNKNOWN)
    return row


def refuse(*, typed: str, by: User, at: datetime) -> None:
    """Tell the program no. Raises as `find` does."""
    row = find(typed=typed, by=by, at=at)
    DeviceLogin.objects.filter(pk=row.pk, user=None).update(is_refused=True)


@transaction.atomic
def poll(*, device_code: str, at: datetime) -> Answer:
    """What has become of the login that began with `device_code`; an end is told once, then it is unknown.

    Raises NotFound for a code that is unknown.
    """
    rows = DeviceLogin.objects.select_for_update(of=("self",)).select_related("user", "chosen")
    row = rows.filter(digest=_digest(device_code)).first()
    if row is None:
        raise NotFound("There is no such login under way.")
    answer = _answer(row, at)
    if answer.state in (State.PENDING, State.SLOW_DOWN):
        DeviceLogin.objects.filter(pk=row.pk).update(polled_at=at)
    else:
        row.delete()
    return answer


def spelled(user_code: str) -> str:
    """The code as people read it: in two halves."""
    return f"{user_code[:4]}-{user_code[4:]}"


def normal(typed: str) -> str:
    """The code that somebody typed, in the one form we keep."""
    return "".join(char for char in typed.upper() if char in LETTERS)[: CODE_LENGTH + 1]


def _answer(row: DeviceLogin, at: datetime) -> Answer:
    if row.expires_at <= at:
        return Answer(State.EXPIRED)
    if row.is_refused:
        return Answer(State.REFUSED)
    if row.user is not None:
        return Answer(State.CONFIRMED, row.user, row.chosen)
    is_hasty = row.polled_at is not None and at - row.polled_at < INTERVAL / 2
    return Answer(State.SLOW_DOWN if is_hasty else State.PENDING)


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).strip()


def _draw() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))


def _digest(device_code: str) -> str:
    return hashlib.sha256(device_code.encode()).hexdigest()
