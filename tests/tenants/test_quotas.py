from __future__ import annotations

import threading

import pytest
from django.db import connections, transaction

from micro.errors import ResourceExhausted
from tenants import quotas
from tenants.operations import create_namespace


@pytest.mark.django_db
def test_a_namespace_may_have_as_many_replicas_as_its_plan_says_and_no_more(settings):
    settings.MICRO_DEFAULT_REPLICAS = 2
    namespace = create_namespace(slug="shop")
    quotas.require(namespace, replicas=2)
    with pytest.raises(ResourceExhausted, match="may have 2 replicas; this would make 3"):
        quotas.require(namespace, replicas=3)


@pytest.mark.django_db(transaction=True)
def test_whoever_asks_while_another_is_about_to_take_the_last_one_waits_for_the_outcome():
    namespace = create_namespace(slug="shop")
    allowed = threading.Event()

    def ask() -> None:
        with transaction.atomic():
            quotas.require(namespace, replicas=1)
            allowed.set()
        connections.close_all()

    with transaction.atomic():
        quotas.require(namespace, replicas=1)
        asking = threading.Thread(target=ask)
        asking.start()
        assert not allowed.wait(0.3)
    asking.join(5)
    assert allowed.is_set()


@pytest.mark.django_db(transaction=True)
def test_a_quota_is_asked_for_in_a_transaction_or_not_at_all():
    namespace = create_namespace(slug="shop")
    with pytest.raises(transaction.TransactionManagementError):
        quotas.require(namespace, replicas=1)
