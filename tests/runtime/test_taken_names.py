"""Names under which something is registered that the platform does not run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from deploying import ADMIN, eventually, hello

from micro.errors import AlreadyExists
from primitives.registry import operations as registry
from primitives.registry import records
from primitives.registry.records import Node
from runtime import operations
from runtime.models import Replica, Service
from tenants.operations import create_namespace

pytestmark = pytest.mark.django_db(transaction=True)
MUTE = {"main.py": "import time\ntime.sleep(600)\n", "Procfile": "web: python main.py\n"}


@pytest.fixture(autouse=True)
def profile(settings) -> None:
    """Where anything on this machine may register itself."""
    settings.MICRO_PROFILE = "local"


def announce(port: int, *, ttl_s: float = 60, version: str = "latest", namespace: str = "micro") -> None:
    """Register as `micro service` does, or a service on Micro 3's Go framework."""
    registry.announce(
        namespace=namespace,
        service="web",
        version=version,
        protocol="http",
        nodes=[Node(f"web-uuid-{port}", "127.0.0.1", port, {})],
        ttl=timedelta(seconds=ttl_s),
        by=ADMIN,
    )


def announced() -> list[int]:
    return [node.port for node in records.announced(namespace="micro", service="web")]


def test_what_something_else_is_registered_as_is_not_run_until_that_has_ended(platform):
    announce(3000)
    with pytest.raises(AlreadyExists) as refused:
        platform.queue("web", hello("one"))
    assert refused.value.http == 409
    assert refused.value.detail == (
        "The name web is registered by something that the platform does not run, at 127.0.0.1:3000: end that first "
        "(`micro service`, or a program of your own), or choose another. What was killed there is forgotten within 90 "
        "seconds."
    )
    assert not Service.objects.in_namespace("micro").exists()
    registry.deregister(namespace="micro", node_ids=["web-uuid-3000"], leased_only=True)
    assert platform.queue("web", hello("one")).state == "queued"


def test_another_version_of_such_a_name_is_refused_too_and_the_name_of_another_namespace_is_free(platform):
    create_namespace(slug="shop")
    announce(3000, namespace="shop")
    platform.queue("web", hello("one"))
    platform.kill("web")
    announce(3001, version="v7")  # 3000 is the other namespace's
    with pytest.raises(AlreadyExists):
        platform.queue("web", hello("one"))


def test_what_has_not_renewed_its_registration_holds_no_name(platform):
    announce(3000, ttl_s=-1)
    assert platform.queue("web", hello("one")).state == "queued"


def test_a_service_that_is_there_is_deployed_again_whatever_is_registered_beside_it(platform):
    first = platform.queue("web", hello("one"))
    announce(3000)
    assert platform.queue("web", hello("two")).state == "queued"
    assert operations.redeploy(namespace=platform.namespace, deployment_id=first.pk, by=ADMIN).state == "queued"


def test_a_killed_service_whose_replica_still_registers_itself_is_run_again_at_once(platform):
    platform.work(platform.queue("web", hello("one")))
    Replica.objects.in_namespace("micro").update(port=4001, state=Replica.State.STARTING)
    announce(4001)
    platform.kill("web")
    assert announced() == [4001]
    assert platform.queue("web", hello("two")).state == "queued"
    announce(3000)
    platform.kill("web")
    with pytest.raises(AlreadyExists, match=r"at 127\.0\.0\.1:3000"):
        platform.queue("web", hello("three"))


def test_what_a_replica_has_registered_itself_ends_with_it(platform, running, settings):
    settings.MICRO_START_TIMEOUT = settings.MICRO_START_TIMEOUT / 10
    deployment = platform.work(platform.queue("web", MUTE))
    eventually(lambda: Replica.objects.in_namespace("micro").exclude(port=None).exists())
    announce(Replica.objects.in_namespace("micro").get().port)
    assert announced()
    eventually(lambda: platform.again(deployment).state == "failed", 40)
    eventually(lambda: not announced())
    platform.kill("web")
    assert platform.queue("web", hello("one")).state == "queued"
