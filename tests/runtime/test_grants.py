"""What a service is granted: kept, shown, taken away, and given by nobody who could not."""

from __future__ import annotations

import pytest

from micro.errors import InvalidArgument, PermissionDenied
from runtime import operations
from runtime.models import Deployment, Service
from runtime.operations import Changes, Order
from tenants.models import Namespace, User
from tenants.operations import create_namespace
from transport.callers import Account

pytestmark = pytest.mark.django_db
ADMIN = Account("ann", "user", "shop", "ann", ("admin",), user_id=1)
MEMBER = Account("joe", "user", "shop", "joe", (), user_id=2)
ROBOT = Account("robot-latest-1", "service", "shop", "robot", ("service", "service:robot", "runtime.deploy"))
WEB = {"name": "web", "version": "latest"}


@pytest.fixture
def shop(monkeypatch) -> Namespace:
    monkeypatch.setattr("runtime.tasks.send", lambda **_ids: None)
    return create_namespace(slug="shop", owner=User.objects.create_user("ann", password="x"))


def deploy(shop: Namespace, by: Account = ADMIN, **order: object) -> Deployment:
    return operations.deploy(namespace=shop, **WEB, order=Order(source="github.com/a/b", **order), by=by)


def test_grants_stay_until_others_are_given_and_none_takes_them_away(shop):
    assert deploy(shop, grants=["store.read", "config.*"]).grants == ["config.*", "store.read"]
    assert deploy(shop).grants == ["config.*", "store.read"]
    again = operations.update(namespace=shop, **WEB, order=Order(source="", grants=["store.read"]), by=ADMIN)
    assert again.grants == ["store.read"]
    set_ = operations.set_variables(namespace=shop, **WEB, changes=Changes(plain={"A": "b"}), by=ADMIN)
    assert set_.grants == ["store.read"]
    assert deploy(shop, grants=["none"]).grants == []
    assert deploy(shop, grants=[]).grants == []


def test_an_old_deployment_does_not_bring_its_grants_back(shop):
    old = deploy(shop, grants=["store.read"])
    deploy(shop, grants=["none"])
    assert operations.redeploy(namespace=shop, deployment_id=old.pk, by=ADMIN).grants == []


def test_who_deploys_into_a_service_with_a_power_must_be_able_to_give_it(shop):
    deployment = deploy(shop, grants=["accounts.write", "store.read"])
    ways = [
        lambda by: deploy(shop, by),
        lambda by: operations.update(namespace=shop, **WEB, order=Order(source=""), by=by),
        lambda by: operations.redeploy(namespace=shop, deployment_id=deployment.pk, by=by),
        lambda by: operations.set_variables(namespace=shop, **WEB, changes=Changes(plain={"PYTHONPATH": "x"}), by=by),
    ]
    for by, way in ((by, way) for by in (MEMBER, ROBOT) for way in ways):
        with pytest.raises(PermissionDenied, match=r"The grant accounts\.write takes an admin"):
            way(by)
    assert Service.objects.in_namespace(shop).get().deployments.count() == 1
    deploy(shop, MEMBER, grants=["store.read"])
    with pytest.raises(PermissionDenied, match=r"The grant store\.read takes somebody who has it"):
        deploy(shop, ROBOT)


def test_a_service_gives_what_it_was_granted_but_no_power(shop):
    robot = Account(ROBOT.id, "service", "shop", "robot", (*ROBOT.scopes, "store.read", "rules.write"))
    assert deploy(shop, robot, grants=["store.read"]).grants == ["store.read"]
    for grant in ("runtime.deploy", "rules.write", "store.*", "runtime.*"):
        with pytest.raises(PermissionDenied):
            deploy(shop, robot, grants=[grant])


@pytest.mark.parametrize("grant", ["admin", "*", "service:web", "tokens.write", "platform.operate", "Store.Read"])
def test_what_is_no_grant_is_refused(shop, grant):
    with pytest.raises(InvalidArgument, match="There is no grant"):
        deploy(shop, grants=[grant])
