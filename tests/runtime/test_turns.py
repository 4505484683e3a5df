"""Whose build begins next: slots for each namespace, turns among namespaces, and why one waits."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from deploying import ADMIN, hello, pack
from django.db import connection
from django.utils.timezone import now

from runtime import leases, operations, pipeline, statuses, tasks, turns
from runtime.models import Deployment
from runtime.sources.uploads import Incoming
from tenants.models import Namespace
from tenants.operations import create_namespace, give_plan, set_plan

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def namespaces(namespace, home) -> dict[str, Namespace]:
    return {"micro": namespace, **{slug: create_namespace(slug=slug) for slug in ("shop", "zoo")}}


def queue(namespace: Namespace, *names: str) -> list[Deployment]:
    queued = []
    for name in names:
        with Incoming(namespace.slug) as archive:
            archive.write(pack(hello("x")))
            source = archive.keep(namespace=namespace, name=name, version="latest")
        order = operations.Order(source=source)
        queued.append(operations.deploy(namespace=namespace, name=name, version="latest", order=order, by=ADMIN))
    return queued


def taken(count: int) -> list[str]:
    """The names of the services whose turn it is, one after the other, while none of their builds ends."""
    found = [turns.take(at=now()) for _ in range(count)]
    return [deployment.service.name if deployment else "nobody" for deployment in found]


def test_a_namespace_builds_no_more_at_a_time_than_it_has_slots(namespaces, settings):
    settings.MICRO_DEFAULT_BUILDS = 2
    queue(namespaces["shop"], "a", "b", "c")
    assert taken(3) == ["a", "b", "nobody"]


def test_a_plan_says_how_many_slots_a_namespace_has(namespaces):
    plan = set_plan(name="large", builds=3)
    give_plan(namespace=namespaces["shop"], plan=plan)
    queue(namespaces["shop"], "a", "b", "c", "d")
    assert taken(4) == ["a", "b", "c", "nobody"]


def test_who_came_last_with_one_build_does_not_wait_for_all_builds_of_who_came_first(namespaces, settings):
    settings.MICRO_DEFAULT_BUILDS = 2
    queue(namespaces["shop"], "a", "b", "c")
    queue(namespaces["zoo"], "z")
    assert taken(4) == ["a", "z", "b", "nobody"]


def test_with_one_worker_namespaces_take_turns(namespaces, monkeypatch):
    queue(namespaces["shop"], "a", "b", "c")
    queue(namespaces["zoo"], "y", "z")
    order = []

    def finish(deployment: Deployment) -> None:
        order.append(deployment.service.name)
        at = now()
        Deployment.objects.across_namespaces().filter(pk=deployment.pk).update(
            state="failed", reason="x", finished_at=at, lease_until=at
        )

    monkeypatch.setattr(pipeline, "run_deployment", finish)
    tasks.deploy(namespace="nowhere", deployment_id="none of these")
    assert order == ["a", "y", "b", "z", "c"]


def test_a_build_that_was_superseded_holds_its_slot_until_its_worker_lets_go(namespaces, settings):
    settings.MICRO_DEFAULT_BUILDS = 1
    queue(namespaces["shop"], "a")
    first = turns.take(at=now())
    with leases.Lease(first):
        queue(namespaces["shop"], "a")
        assert Deployment.objects.in_namespace("shop").get(pk=first.pk).state == "superseded"
        assert taken(1) == ["nobody"]
    assert taken(1) == ["a"]


def test_a_slot_of_a_worker_that_died_is_free_when_its_lease_lapses(namespaces, settings):
    settings.MICRO_DEFAULT_BUILDS = 1
    queue(namespaces["shop"], "a", "b")
    assert taken(2) == ["a", "nobody"]
    assert turns.take(at=now() + timedelta(minutes=1)).service.name == "a"


def test_workers_that_look_at_once_do_not_exceed_the_slots(namespaces, settings):
    settings.MICRO_DEFAULT_BUILDS = 2
    queue(namespaces["shop"], *"abcdef")
    found: list[Deployment | None] = []

    def look() -> None:
        found.append(turns.take(at=now()))
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(deployment is not None for deployment in found) == 2


def test_a_deployment_says_why_it_waits(namespaces, settings):
    settings.MICRO_DEFAULT_BUILDS = 2
    *_, last = queue(namespaces["shop"], "a", "b", "c")
    taken(2)
    why = "waiting for a build slot of this namespace (2 of 2 in use)"
    assert turns.Queue().why(last) == why
    assert statuses.read_one(namespace=namespaces["shop"], name="c", version="latest").metadata["warning"] == why
    (waiting,) = queue(namespaces["zoo"], "z")
    assert turns.Queue().why(waiting) == ""
    waiting.created_at -= timedelta(seconds=10)
    assert turns.Queue().why(waiting) == "waiting for a build slot of the server"
