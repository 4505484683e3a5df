"""One worker at a time has a deployment: those that come late, are overtaken or keep dying change nothing."""

from __future__ import annotations

import threading

import pytest
from deploying import eventually, hello
from django.utils.timezone import now

from runtime import tasks
from runtime.models import Deployment, Release, Replica

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_worker_of_a_superseded_deployment_writes_nothing_more(platform, running, envoy, monkeypatch):
    first = platform.queue("web", hello("one"))
    from runtime import builds

    original = builds.build

    def overtaken(*args: object, **options: object) -> object:
        monkeypatch.setattr(builds, "build", original)
        platform.deploy("web", hello("two"))
        return original(*args, **options)

    monkeypatch.setattr(builds, "build", overtaken)
    platform.work(first)
    assert platform.again(first).state == "superseded"
    assert not Release.objects.filter(deployment=first).exists()
    assert envoy.get("web") == "two"


def test_two_workers_with_the_same_deployment_do_its_work_once(platform, running, envoy):
    deployment = platform.queue("web", hello("one"))
    from django.db import connection

    def work() -> None:
        tasks.deploy(namespace="micro", deployment_id=str(deployment.pk))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: platform.again(deployment).state == "live")
    assert platform.again(deployment).attempts == 1
    assert Release.objects.count() == 1
    assert Replica.objects.in_namespace("micro").count() == 1


def test_a_deployment_whose_message_was_lost_is_sent_again(platform, running, envoy, monkeypatch):
    deployment = platform.queue("web", hello("one"))
    Deployment.objects.in_namespace("micro").update(lease_until=now())
    monkeypatch.setattr(tasks, "send", tasks.deploy)
    tasks.sweep()
    eventually(lambda: platform.again(deployment).state == "live")


def test_a_deployment_whose_workers_keep_dying_ends_in_error(platform):
    deployment = platform.queue("web", hello("one"))
    Deployment.objects.in_namespace("micro").update(attempts=4)
    assert platform.work(deployment).state == "failed"
    assert "interrupted" in platform.again(deployment).reason


def test_a_worker_that_was_overtaken_after_its_lease_lapsed_writes_nothing_more(platform, monkeypatch):
    from runtime import builds, leases

    deployment = platform.queue("web", hello("one"))
    original = builds.build

    def stalled(*args: object) -> object:
        Deployment.objects.in_namespace("micro").update(lease_until=now())
        assert Deployment.objects.in_namespace("micro").claim(deployment.pk, at=now())
        return original(*args)

    monkeypatch.setattr(builds, "build", stalled)
    platform.work(deployment)
    assert not Release.objects.exists()
    again = platform.again(deployment)
    assert (again.state, again.fence, again.reason) == ("fetching", 2, "")
    stale = leases.Lease(deployment)
    with pytest.raises(leases.Lost):
        stale.write(state="building")


def test_a_lease_is_renewed_for_as_long_as_the_work_takes(platform, monkeypatch):
    from runtime import leases

    monkeypatch.setattr(leases, "RENEW_EVERY_S", 0.05)
    deployment = Deployment.objects.in_namespace("micro").claim(platform.queue("web", hello("one")).pk, at=now())
    with leases.Lease(deployment) as lease:
        first = platform.again(deployment).lease_until
        eventually(lambda: platform.again(deployment).lease_until > first)
        Deployment.objects.in_namespace("micro").update(fence=99)
        eventually(lambda: not lease.is_held())
