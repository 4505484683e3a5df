"""A deployment that is under way is cancelled: it ends, with what it started, and what ran before goes on."""

from __future__ import annotations

import threading
import time

import psutil
import pytest
from deploying import ADMIN, accounts, eventually, hello, pids
from django.db import connection

from micro.errors import FailedPrecondition, NotFound, PermissionDenied
from runtime import folders, operations, rollouts, tasks
from runtime.models import Deployment, Release, Replica
from tenants.operations import create_namespace
from transport.callers import Account

pytestmark = pytest.mark.django_db(transaction=True)
SLOW_BACKEND = "import time\ndef build_wheel(*args, **kwargs): time.sleep(600)\n"
SLOW_PROJECT = "[build-system]\nrequires=[]\nbuild-backend='slow'\nbackend-path=['.']\n"
SLOW_BUILD = {"requirements.txt": "./slow\n", "slow/slow.py": SLOW_BACKEND, "slow/pyproject.toml": SLOW_PROJECT}


def cancel(platform, deployment: Deployment) -> Deployment:
    return operations.cancel(namespace=platform.namespace, deployment_id=deployment.pk, by=ADMIN)


def builders() -> list[int]:
    """The processes that build for this test's server, and what they have started."""
    builds = str(folders.builds("micro"))
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HOME", "").startswith(builds):
                found.append(process.pid)
        except psutil.Error:  # it has just ended, or is another's
            continue
    return found


def test_a_build_that_is_cancelled_ends_within_seconds_with_all_its_processes_and_the_old_version_serves(
    platform, running, envoy
):
    platform.deploy("web", hello("one"))
    deployment = platform.queue("web", {**hello("two"), **SLOW_BUILD})

    def work() -> None:
        tasks.deploy(namespace="micro", deployment_id=str(deployment.pk))
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    eventually(lambda: platform.again(deployment).state == "building" and len(builders()) > 1, 30)
    began = time.monotonic()
    cancelled = cancel(platform, deployment)
    assert (cancelled.state, cancelled.reason) == ("cancelled", "Cancelled by admin.")
    assert cancelled.finished_at
    worker.join(10)
    assert not worker.is_alive()
    assert builders() == []
    assert time.monotonic() - began < 10
    assert platform.again(deployment).state == "cancelled"
    assert not folders.build("micro", deployment.pk).exists()
    log = folders.build_log("micro", deployment.service_id, deployment.pk)
    eventually(lambda: not log.exists() or log.read_text().endswith("Cancelled by admin.\n"))
    assert envoy.get("web") == "one"
    report = platform.report("web")
    assert (report.status.name, report.metadata["step"]) == ("RUNNING", "cancelled")
    assert (report.metadata["warning"], report.metadata["serving"]) == ("Cancelled by admin.", "1")


def test_one_that_nobody_has_begun_never_begins(platform):
    deployment = platform.queue("web", hello("one"))
    cancel(platform, deployment)
    assert platform.work(deployment).state == "cancelled"
    assert not Release.objects.exists()
    assert platform.report("web").status.name == "STOPPED"


def test_replicas_that_start_go_with_their_account(platform, running, envoy):
    platform.deploy("web", hello("one"))
    before = set(pids("web"))
    deployment = platform.work(platform.queue("web", {"main.py": "import time; time.sleep(600)\n"}))
    eventually(lambda: set(pids("web")) > before)
    cancel(platform, deployment)
    eventually(lambda: Replica.objects.in_namespace("micro").count() == 1)
    eventually(lambda: set(pids("web")) == before)
    assert accounts(platform) == ["web-latest-1"]
    assert envoy.get("web") == "one"
    assert platform.again(deployment).state == "cancelled"


def test_what_has_ended_or_serves_already_is_not_cancelled(platform, running, envoy, monkeypatch):
    deployment = platform.deploy("web", hello("one"))
    with pytest.raises(FailedPrecondition, match="it is live"):
        cancel(platform, deployment)
    monkeypatch.setattr(rollouts, "_is_alone", lambda *_: False)
    second = platform.work(platform.queue("web", hello("two")))
    eventually(lambda: platform.again(second).state == "switching")
    with pytest.raises(FailedPrecondition, match="serve already"):
        cancel(platform, second)
    monkeypatch.undo()
    eventually(lambda: platform.again(second).state == "live")


def test_a_cancelled_deployment_makes_room_for_the_next(platform, running, envoy):
    cancel(platform, platform.queue("web", hello("one")))
    assert platform.deploy("web", hello("two")).state == "live"
    assert "warning" not in platform.report("web").metadata


def test_nobody_cancels_what_is_not_theirs(platform):
    create_namespace(slug="acme")
    deployment = platform.queue("web", hello("one"))
    stranger = Account(id="joe", type="user", issuer="acme", name="joe", scopes=("admin",))
    with pytest.raises((NotFound, PermissionDenied)):
        operations.cancel(namespace=platform.namespace, deployment_id=deployment.pk, by=stranger)
    with pytest.raises((NotFound, PermissionDenied)):
        operations.cancel_last(namespace=platform.namespace, name="web", version="latest", by=stranger)
    assert platform.again(deployment).state == "queued"
