from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections, transaction

from micro.errors import ResourceExhausted
from tenants import quotas
from tenants.models import Environment, Membership, Namespace, Plan, User
from tenants.operations import create_namespace, give_plan, set_plan
from transport.database import dsn
from transport.tenancy import in_public


@pytest.mark.django_db
def test_a_namespace_may_have_as_many_replicas_as_its_plan_says_and_no_more(settings):
    settings.MICRO_DEFAULT_REPLICAS = 2
    namespace = create_namespace(slug="shop")
    quotas.require(namespace, replicas=lambda: 2)
    with pytest.raises(ResourceExhausted, match="may have 2 replicas; this would make 3"):
        quotas.require(namespace, replicas=lambda: 3)


@pytest.mark.django_db(transaction=True)
def test_whoever_asks_while_another_is_about_to_take_the_last_one_waits_for_the_outcome():
    namespace = create_namespace(slug="shop")
    allowed = threading.Event()

    def ask() -> None:
        with transaction.atomic():
            quotas.require(namespace, replicas=lambda: 1)
            allowed.set()
        connections.close_all()

    with transaction.atomic():
        quotas.require(namespace, replicas=lambda: 1)
        asking = threading.Thread(target=ask)
        asking.start()
        assert not allowed.wait(0.3)
    asking.join(5)
    assert allowed.is_set()


@pytest.mark.django_db(transaction=True)
def test_a_quota_is_asked_for_in_a_transaction_or_not_at_all():
    namespace = create_namespace(slug="shop")
    with pytest.raises(transaction.TransactionManagementError):
        quotas.require(namespace, replicas=lambda: 1)


def test_every_limit_of_a_plan_has_a_setting_for_when_it_is_left_open(settings):
    assert {field.name for field in Plan._meta.fields} == {"name", *quotas.SETTINGS}
    assert all(getattr(settings, name) is not None for name in quotas.SETTINGS.values())


@pytest.mark.django_db
def test_a_namespace_has_its_own_plan_before_its_environments_before_the_settings(settings):
    settings.MICRO_DEFAULT_REPLICAS = 7
    shop, rival = create_namespace(slug="shop"), create_namespace(slug="rival")
    assert quotas.limit("shop", "replicas") == 7
    set_plan(name="default", replicas=20, records=5)
    give_plan(namespace=shop, plan=set_plan(name="large", replicas=50, event_age=timedelta(days=1)))
    assert [quotas.limit("shop", name) for name in ("replicas", "event_age")] == [50, timedelta(days=1)]
    assert quotas.limit("shop", "records") == settings.MICRO_DEFAULT_RECORDS  # a plan is taken whole
    assert [quotas.limit(rival.slug, name) for name in ("replicas", "records")] == [20, 5]
    give_plan(namespace=shop, plan=None)
    assert quotas.limit("shop", "replicas") == 20


@pytest.mark.django_db(transaction=True)
async def test_the_copy_in_memory_says_the_same_and_follows_every_change(settings):
    settings.MICRO_DEFAULT_RECORDS = 7
    known = quotas.Known()
    assert known.limit("shop", "records") == 7
    shop = await in_public(lambda: create_namespace(slug="shop"))
    following = asyncio.create_task(known.follow(dsn()))
    try:
        for limits, expected in (({"records": 0}, 0), ({"records": 9}, 9), ({"records": None}, 7)):
            plan = await in_public(lambda limits=limits: set_plan(name="small", **limits))
            await in_public(lambda plan=plan: give_plan(namespace=shop, plan=plan))
            async with asyncio.timeout(5):
                while known.limit("shop", "records") != expected:
                    await asyncio.sleep(0.01)
            assert await in_public(lambda: quotas.limit("shop", "records")) == expected
        await in_public(lambda: set_plan(name="default", records=3))
        await in_public(lambda: create_namespace(slug="late"))
        async with asyncio.timeout(5):
            while known.limit("late", "records") != 3:
                await asyncio.sleep(0.01)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()  # threads with connections
        gc.collect()


@pytest.mark.django_db(transaction=True)
def test_a_hundred_at_once_get_exactly_what_is_left():
    """Members stand for whatever is counted: rows that refer to the namespace, as all do."""
    shop = create_namespace(slug="shop")
    give_plan(namespace=shop, plan=set_plan(name="small", replicas=10))
    users = User.objects.bulk_create(User(username=f"u{number}") for number in range(100))

    def take(user: User) -> bool:
        try:
            with transaction.atomic():
                quotas.require(shop, replicas=lambda: Membership.objects.in_namespace(shop).count() + 1)
                Membership.objects.create(user=user, namespace=shop)
        except ResourceExhausted:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, users)) == 10
    assert Membership.objects.in_namespace(shop).count() == 10


@pytest.mark.django_db
def test_every_environment_has_a_plan():
    create_namespace(slug="shop")
    assert {environment.plan_id for environment in Environment.objects.all()} == {"default"}
    assert Namespace.objects.get(slug="shop").plan is None
