"""Claims about who may act in which namespace."""

from __future__ import annotations

import pytest

from micro.errors import NotFound, PermissionDenied
from tenants.access import actors
from tenants.access.permissions import Permission
from tenants.models import Membership, Namespace, User
from tenants.operations import bootstrap, create_namespace
from transport.callers import Account

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    bootstrap(admin_password="micro")
    return User.objects.create_user("joe@example.org", "joe@example.org", "x")


def test_a_member_acts_in_their_namespace_and_in_no_other(user):
    mine = create_namespace(slug="mine", owner=user)
    theirs = create_namespace(slug="theirs")
    account = actors.account_of(user, "mine")
    assert (account.issuer, account.scopes) == ("mine", ("admin",))
    assert actors.enter(account, "mine", Permission.RUNTIME_READ) == mine
    actors.require(account, mine, Permission.RUNTIME_DEPLOY)
    with pytest.raises(NotFound):
        actors.enter(account, "theirs", Permission.RUNTIME_READ)
    with pytest.raises(NotFound):
        actors.account_of(user, "theirs")
    with pytest.raises(PermissionDenied):
        actors.require(account, theirs, Permission.RUNTIME_DEPLOY)


def test_a_namespace_that_is_not_theirs_and_one_that_is_not_there_are_told_alike(user):
    create_namespace(slug="theirs")
    said = []
    for slug in ("theirs", "absent"):
        with pytest.raises(NotFound) as raised:
            actors.account_of(user, slug)
        said.append(raised.value.detail.replace(slug, "X"))
    assert said[0] == said[1]


def test_an_admin_of_the_platforms_namespace_acts_everywhere_and_a_member_of_it_does_not(user):
    create_namespace(slug="theirs")
    admin = actors.account_of(User.objects.get(username="admin"), "theirs")
    assert actors.enter(admin, "theirs", Permission.RUNTIME_READ).slug == "theirs"
    Membership.objects.across_namespaces().create(
        user=user, namespace=Namespace.objects.get(slug="micro"), role=Membership.Role.MEMBER
    )
    with pytest.raises(NotFound):
        actors.account_of(user, "theirs")


def test_an_account_whose_token_names_another_issuer_enters_nothing_else(user):
    create_namespace(slug="theirs")
    service = Account(id="s", type="service", issuer="mine", name="s", scopes=("service", "admin"))
    with pytest.raises(NotFound):
        actors.enter(service, "theirs", Permission.RUNTIME_READ)
