"""Signing up in tests: the code that was mailed, and a user with a namespace of their own."""

from __future__ import annotations

import re

from django.core import mail
from django.utils.timezone import now

from tenants import signup
from tenants.models import Namespace, User

PASSWORD = "correct horse 7"
HERE = {"origin": "192.0.2.1"}


def code_of(email: str) -> str:
    """The code in the last e-mail to the address."""
    body = next(message.body for message in reversed(mail.outbox) if message.to == [email])
    found = re.search(r"^\s+(\d{6})$", body, re.MULTILINE)
    assert found, body
    return found[1]


def join(email: str = "joe@example.org", namespace: str = "joe", **changes: str) -> tuple[User, Namespace]:
    """Sign up."""
    signup.request_sign_up(email=email, at=now(), **HERE)
    given = {"code": code_of(email), "password": PASSWORD, "namespace": namespace, **changes}
    return signup.sign_up(email=email, at=now(), **HERE, **given)
