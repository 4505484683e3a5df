from __future__ import annotations

import pytest

from micro.errors import PermissionDenied, Unauthenticated
from transport.callers import Account, Caller, authorize


def account(issuer="shop", type="user", scopes=()):
    return Account(id="joe", type=type, issuer=issuer, name="joe", scopes=scopes)


def test_a_blank_namespace_is_the_callers_own():
    assert authorize(Caller(account(), namespace="micro"), "") == "shop"


def test_without_an_account_nothing_is_authorized_but_what_is_public():
    with pytest.raises(Unauthenticated, match="an account is required"):
        authorize(Caller(), "micro")
    assert authorize(Caller(), "micro", public=True) == "micro"


@pytest.mark.parametrize(
    ("issuer", "type", "scopes", "crosses"),
    [
        ("micro", "user", ("admin",), True),
        ("micro", "service", ("service",), False),
        ("micro", "service", (), False),
        ("micro", "user", ("service",), False),
        ("micro", "user", ("basic",), False),
        ("shop", "user", ("admin",), False),
        ("shop", "service", ("service",), False),
        ("micro2", "user", ("admin",), False),
        ("micr", "user", ("admin",), False),
        ("", "user", ("admin",), False),
    ],
)
def test_only_admins_of_the_platform_cross_namespaces(issuer, type, scopes, crosses):
    caller = Caller(account(issuer, type, scopes))
    if crosses:
        assert authorize(caller, "rival") == "rival"
    else:
        with pytest.raises(PermissionDenied, match="access denied to namespace"):
            authorize(caller, "rival")
