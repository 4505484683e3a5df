from __future__ import annotations

import pytest

from micro.errors import PermissionDenied, Unauthenticated
from primitives.rules.access import ALWAYS, DEFAULT, Book, Rule, grants, refusal

from .cases import ADMIN, CASES, JOE, OPERATOR, Case, deny, grant


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.claim}: {case.account and case.account.id} {case.call}"
)
def test_the_table(case: Case):
    service, endpoint = case.call
    rules = Book.of("foo", case.rules).about(service)
    assert grants(rules, endpoint, case.account, namespace="foo") is case.granted


def test_a_namespace_without_rules_has_the_default_one_alone():
    assert Book.of("foo", []).rules == (DEFAULT,)
    assert Book.of("foo", [deny("*")]).rules == (deny("*"),)


def test_nobody_can_lock_out_who_would_mend_the_rules():
    book = Book.of("micro", [deny(priority=2**31 - 1, id="!")])
    for rule in ALWAYS:
        assert grants(book.about("auth"), rule.endpoint, None, namespace="micro")
    assert not grants(book.about("auth"), "Auth.Generate", OPERATOR, namespace="micro")
    assert not grants(book.about("store"), "Auth.Token", OPERATOR, namespace="micro")


def test_what_comes_after_a_rule_that_decides_everything_is_left_out():
    book = Book.of("foo", [deny("admin", priority=2), grant(priority=1), deny("*")])
    assert [rule.id for rule in book.about("x")] == ["deny", "grant"]


def test_the_refusals_are_micros():
    assert str(refusal("hi", "Hi.Call", None)) == "Unauthorized call made to hi:Hi.Call"
    assert isinstance(refusal("hi", "Hi.Call", None), Unauthenticated)
    assert str(refusal("hi", "Hi.Call", JOE)) == "Forbidden call made to hi:Hi.Call by joe"
    assert isinstance(refusal("hi", "Hi.Call", ADMIN), PermissionDenied)


def test_a_rule_that_says_nothing_is_about_everything():
    assert Rule(id="x") == grant(id="x")
