"""Joining the platform: prove an address by a code, get a user and a first namespace; and a way back in.

No answer tells whether an address is known, nor how long it takes: known or not, a code is drawn and one e-mail goes
to the address, and only that says more. A mailbox gets a few e-mails an hour, whoever asks; beyond them the code of the
last one holds.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.template.loader import render_to_string

from micro.errors import AlreadyExists, InvalidArgument, PermissionDenied, ResourceExhausted, Unavailable
from transport.addresses import network

from . import codes, limits, names
from .models import EmailCode, Environment, Namespace, User
from .operations import create_namespace

MAILS_PER_ADDRESS = 5  # an hour, for each purpose, whoever asks
MAILS_PER_ADDRESS_A_DAY = 15
CODES_PER_ORIGIN = 30
TRIES_PER_ORIGIN = 60
NAMES_PER_ORIGIN = 600
WINDOW, DAY = timedelta(hours=1), timedelta(hours=24)
LONGEST_ADDRESS = 150  # it becomes the user's name


def request_sign_up(*, email: str, origin: str, at: datetime) -> None:
    """Send a code to the address. `origin` is the network address that asks.

    Raises PermissionDenied when sign-up is closed, ResourceExhausted when it is asked for too often, Unavailable when
    no e-mail can be sent.
    """
    _require_open()
    email = _counted(email, origin, at)
    code = _code(email, EmailCode.Purpose.SIGN_UP, at)
    if _user(email):
        _send(code and email, "known", "You have an account already")
    else:
        _send(code and email, "sign_up", "Your code", code=code)


def verify(*, email: str, code: str, origin: str, at: datetime) -> None:
    """Raises InvalidArgument unless the code for signing up is good, which it stays."""
    _require_open()
    email = _normal(email)
    limits.spend(f"code:{network(origin)}", limit=TRIES_PER_ORIGIN, per=WINDOW, at=at)
    codes.check(email, EmailCode.Purpose.SIGN_UP, code, origin=origin, at=at)


def sign_up(
    *, email: str, code: str, password: str, namespace: str, origin: str, at: datetime
) -> tuple[User, Namespace]:
    """Make the user and their first namespace, of which they are the admin; both or nothing.

    A blank namespace is named after the address.
    Raises InvalidArgument for a wrong code, a weak password, a name that cannot be, AlreadyExists for one that is
    taken.
    """
    _require_open()
    email = _normal(email)
    limits.spend(f"code:{network(origin)}", limit=TRIES_PER_ORIGIN, per=WINDOW, at=at)
    codes.check(email, EmailCode.Purpose.SIGN_UP, code, origin=origin, at=at)
    user = User(username=email, email=email)
    require_password(password, user)
    user.set_password(password)
    with transaction.atomic():
        _use_up(email, EmailCode.Purpose.SIGN_UP)
        try:
            with transaction.atomic():
                user.save(force_insert=True)
        except IntegrityError:
            raise InvalidArgument(codes.WRONG) from None  # it has got an account in the meantime
        made = create_namespace(slug=namespace or _named_after(email), environment=_environment(), owner=user)
    return user, made


def require_free(namespace: str) -> None:
    """Raises InvalidArgument for a name that no namespace can have, AlreadyExists for one that is taken.

    Raises PermissionDenied when sign-up is closed: then it is nobody's business.
    """
    _require_open()
    names.validate_namespace(namespace)
    if Namespace.objects.filter(slug=namespace).exists():
        raise AlreadyExists(f"Namespace {namespace!r} already exists.")


def judge_name(namespace: str, *, origin: str, at: datetime) -> None:
    """The same, for who asks while typing. Raises ResourceExhausted for who asks for more names than one types."""
    _require_open()
    limits.spend(f"name-from:{network(origin)}", limit=NAMES_PER_ORIGIN, per=WINDOW, at=at)
    require_free(namespace)


def request_reset(*, email: str, origin: str, at: datetime) -> None:
    """Send a code by which the password can be set anew. Raises ResourceExhausted and Unavailable as above."""
    email = _counted(email, origin, at)
    code = _code(email, EmailCode.Purpose.RESET, at)
    user = _user(email)
    if user and user.is_active:
        _send(code and email, "reset", "Your code", code=code)
    else:
        _send(code and email, "unknown", "There is no account with this address")


def reset_password(*, email: str, code: str, password: str, origin: str, at: datetime) -> User:
    """Set the password; every session of the user ends. Raises InvalidArgument for a wrong code or a weak password."""
    email = _normal(email)
    limits.spend(f"code:{network(origin)}", limit=TRIES_PER_ORIGIN, per=WINDOW, at=at)
    codes.check(email, EmailCode.Purpose.RESET, code, origin=origin, at=at)
    user = _user(email)
    if user is None:
        raise InvalidArgument(codes.WRONG)
    require_password(password, user)
    with transaction.atomic():
        _use_up(email, EmailCode.Purpose.RESET)
        user.set_password(password)
        user.save(update_fields=["password"])
    limits.renew(f"login:{user.username}")
    return user


def require_password(password: str, user: User) -> None:
    """Raises InvalidArgument, with the reasons, for a password that is too easily guessed."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidArgument(" ".join(error.messages)) from None


def _named_after(email: str) -> str:
    """A name for somebody's first namespace that nobody has."""
    local = re.sub(r"[^a-z0-9]+", "-", email.partition("@")[0]).strip("-")[:30].rstrip("-") or "my"
    return f"{local}-{secrets.token_hex(3)}"


def _require_open() -> None:
    if not settings.MICRO_SIGNUP_IS_OPEN:
        raise PermissionDenied("Sign-up is closed on this server; ask its operator for an account.")


def _counted(email: str, origin: str, at: datetime) -> str:
    """The address in the one form we keep, the budget of who asks charged. Raises ResourceExhausted."""
    email = _normal(email)
    limits.spend(f"mail-from:{network(origin)}", limit=CODES_PER_ORIGIN, per=WINDOW, at=at)
    return email


def _code(email: str, purpose: EmailCode.Purpose, at: datetime) -> str:
    """The code to send; blank when the mailbox has had enough e-mails of ours, and the last one's code is good again.

    Nobody is refused: the address' owner would be shut out by whoever asks for codes in their name.
    """
    try:
        for key, limit, per in _mail_budgets(email, purpose):
            limits.spend(key, limit=limit, per=per, at=at)
    except ResourceExhausted:
        codes.revive(email, purpose, at=at)
        return ""
    return codes.draw(email, purpose, at=at)


def _use_up(email: str, purpose: EmailCode.Purpose) -> None:
    """End the code; who has typed it reads the mail of the address, and may be sent more."""
    codes.use_up(email, purpose)
    for key, _, _ in _mail_budgets(email, purpose):
        limits.renew(key)


def _mail_budgets(email: str, purpose: EmailCode.Purpose) -> list[tuple[str, int, timedelta]]:
    return [
        (f"mail-to:{purpose}:{email}", MAILS_PER_ADDRESS, WINDOW),
        (f"mail-to-a-day:{purpose}:{email}", MAILS_PER_ADDRESS_A_DAY, DAY),
    ]


def _normal(email: str) -> str:
    """The address in the one form we keep. Raises InvalidArgument for one that we do not take."""
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidArgument(f"{email[:100]!r} is no e-mail address.") from None
    names.require_email(email)
    if len(email) > LONGEST_ADDRESS:
        raise InvalidArgument(f"An e-mail address has at most {LONGEST_ADDRESS} characters.")
    return email


def _user(email: str) -> User | None:
    return User.objects.filter(email__iexact=email).first() if email else None


def _environment() -> Environment:
    name = settings.MICRO_SIGNUP_ENVIRONMENT
    made: Environment = Environment.objects.get_or_create(
        name=name, defaults={"base_domain": settings.MICRO_BASE_DOMAIN}
    )[0]
    return made


def _send(email: str, text: str, subject: str, **context: str) -> None:
    """Send an e-mail; to a blank address none."""
    if not email:
        return
    body = render_to_string(f"tenants/mail/{text}.txt", {**context, "url": settings.MICRO_WEB_URL, "email": email})
    try:
        send_mail(f"micro: {subject}", body.strip(), None, [email])
    except OSError as error:  # smtplib's errors are among them
        raise Unavailable(f"The e-mail could not be sent ({type(error).__name__}). Try again later.") from error
