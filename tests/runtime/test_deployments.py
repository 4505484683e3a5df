"""From an upload to a service that answers, with a real runner, real processes and an Envoy that acknowledges."""

from __future__ import annotations

import shutil
import threading
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from deploying import ADMIN, Load, accounts, eventually, gunicorn, hello, pids
from django.utils.timezone import now

from micro.errors import InvalidArgument, NotFound, ResourceExhausted
from runtime import folders, operations, pipeline, tasks
from runtime.models import Deployment, Release, Replica, Service
from runtime.statuses import Status
from tenants.operations import create_namespace

pytestmark = pytest.mark.django_db(transaction=True)
BROKEN = {"main.py": "raise SystemExit('the moon is in the wrong phase')\n"}


def test_an_uploaded_folder_runs_and_answers(platform, running, envoy):
    deployment = platform.deploy("web", hello("one"))
    assert deployment.state == "live"
    assert envoy.get("web") == "one"
    report = platform.report("web")
    assert report.status == Status.RUNNING
    assert report.metadata["owner"] == "admin"
    assert report.metadata["address"] == "http://web--micro.localhost:8080"
    assert accounts(platform) == ["web-latest-1"]


def test_a_full_disk_of_the_server_is_named_and_the_files_of_the_build_make_room(platform, monkeypatch):
    def fill(deployment, _lease, _log):
        folders.build("micro", deployment.pk).mkdir(parents=True)
        Path("/dev/full").write_text("x")

    monkeypatch.setattr(pipeline, "make_artifact", fill)
    deployment = platform.queue("web", hello("one"))
    with pytest.raises(OSError, match="No space left"):
        platform.work(deployment)
    failed = platform.again(deployment)
    assert failed.state == "failed"
    assert failed.reason.startswith(f"The disk of the server that holds {folders.home()} is full")
    assert not folders.build("micro", deployment.pk).exists()


def test_a_replica_gets_what_is_promised_and_nothing_of_the_servers_own_environment(
    platform, running, envoy, monkeypatch
):
    monkeypatch.setenv("MICRO_SECRET_KEY", "x")
    monkeypatch.setenv("PGPASSWORD", "x")
    platform.deploy("web", hello("one"), env={"COLOUR": "blue"})
    (pid, *_rest) = sorted(pids("web"))
    environment = psutil.Process(pid).environ()
    port = environment["PORT"]
    assert environment["MICRO_SERVICE_ADDRESS"] == f"127.0.0.1:{port}"
    assert environment["MICRO_SERVICE_VERSION"] == "latest"
    assert environment["MICRO_NAMESPACE"] == "micro"
    assert environment["MICRO_PROXY"] == "127.0.0.1:8443"
    assert environment["MICRO_AUTH_ID"] == "web-latest-1"
    assert environment["COLOUR"] == "blue"
    assert set(environment) - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        *("LANG", "PYTHONUNBUFFERED", "PATH", "HOME", "VIRTUAL_ENV", "PORT", "COLOUR", "MICRO_SERVICE_NAME"),
        *("MICRO_SERVICE_VERSION", "MICRO_SERVICE_ADDRESS", "MICRO_PROXY", "MICRO_NAMESPACE", "MICRO_AUTH_ID"),
        "MICRO_AUTH_SECRET",
    }


def test_a_replica_that_ignores_sigterm_has_the_stop_time_and_is_killed_then(platform, running, envoy, settings):
    settings.MICRO_STOP_TIME = timedelta(seconds=2)
    deaf = hello("one")
    deaf["main.py"] = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{deaf['main.py']}"
    platform.deploy("web", deaf)
    old = set(pids("web"))
    assert platform.deploy("web", hello("two")).state == "live"
    stopping = Replica.objects.in_namespace("micro").filter(state=Replica.State.STOPPING)
    eventually(stopping.exists)
    began = time.monotonic()
    eventually(lambda: not old & set(pids("web")))
    assert time.monotonic() - began > 1
    eventually(lambda: Replica.objects.in_namespace("micro").count() == 1)
    assert envoy.get("web") == "two"


def test_an_update_under_load_fails_no_request_and_leaves_one_set_of_replicas(platform, running, envoy):
    platform.deploy("web", hello("one"), instances=2)
    with Load(envoy, "web") as load:
        assert platform.deploy("web", hello("two")).state == "live"
        assert envoy.get("web") == "two"
        eventually(lambda: Replica.objects.in_namespace("micro").count() == 2)
        time.sleep(0.2)
    assert load.failures == []
    assert {"one", "two"} == set(load.answers)
    assert sorted(set(load.answers[-10:])) == ["two"]
    assert platform.report("web").metadata["release"] == "2"


def test_an_update_that_crashes_at_start_ends_in_error_while_the_old_version_serves(platform, running, envoy):
    platform.deploy("web", hello("one"))
    with Load(envoy, "web") as load:
        failed = platform.deploy("web", BROKEN)
        eventually(lambda: Replica.objects.in_namespace("micro").count() == 1)
    assert failed.state == "failed"
    assert "moon is in the wrong phase" in failed.reason
    assert "status 1" in failed.reason
    assert load.failures == []
    report = platform.report("web")
    assert report.status == Status.ERROR
    assert report.metadata["serving"] == "1"
    assert "moon" in report.metadata["error"]
    eventually(lambda: accounts(platform) == ["web-latest-1"])
    eventually(lambda: len(list(folders.builds("micro").iterdir())) == 1)


def test_a_failed_update_of_a_service_that_had_crashed_leaves_nothing_that_serves(platform, running, envoy):
    down = platform.folder / "down"
    watch = f"""
import os, threading, time
def watch():
    while not os.path.exists({str(down)!r}): time.sleep(0.05)
    os._exit(3)
threading.Thread(target=watch, daemon=True).start()
"""
    files = hello("one")
    assert platform.deploy("web", files | {"main.py": watch + files["main.py"]}).state == "live"
    down.write_text("")
    eventually(lambda: platform.report("web").status == Status.ERROR)
    assert "serving" not in platform.report("web").metadata
    assert platform.deploy("web", BROKEN).state == "failed"
    report = platform.report("web")
    assert (report.status, report.metadata["release"]) == (Status.ERROR, "1")
    assert "serving" not in report.metadata


def test_a_service_runs_since_its_replica_answers_and_has_failed_since_its_deployment_ended(platform, running, envoy):
    platform.deploy("web", hello("one"))
    [replica] = Replica.objects.in_namespace("micro")
    assert platform.report("web").metadata["since"] == replica.changed_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    failed = platform.deploy("web", BROKEN)
    assert platform.report("web").metadata["since"] == failed.finished_at.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_first_deployment_that_fails_leaves_nothing_that_serves(platform, running, envoy):
    assert platform.deploy("web", BROKEN).state == "failed"
    assert "serving" not in platform.report("web").metadata


def test_an_update_that_never_listens_ends_in_error_while_the_old_version_serves(platform, running, envoy, settings):
    platform.deploy("web", hello("one"))
    settings.MICRO_START_TIMEOUT = settings.MICRO_START_TIMEOUT / 60
    failed = platform.deploy("web", {"main.py": "import time\nprint('zzz', flush=True)\ntime.sleep(600)\n"})
    assert failed.state == "failed"
    assert "does not answer on $PORT" in failed.reason
    assert envoy.get("web") == "one"
    eventually(lambda: len(pids("web")) == len(set(pids("web"))) <= 2)


def test_an_update_whose_workers_cannot_load_it_never_takes_over_from_the_old_version(platform, running, envoy):
    platform.deploy("web", hello("one"))
    with Load(envoy, "web") as load:
        failed = platform.deploy("web", gunicorn("import time\ntime.sleep(1)\nraise RuntimeError('no such table')\n"))
        eventually(lambda: Replica.objects.in_namespace("micro").count() == 1)
    assert failed.state == "failed"
    ended = "The process ended with status 3 before it answered on $PORT."
    assert failed.reason == f"{ended} Its last words: RuntimeError: no such table (app.py line 3)"
    assert load.failures == []
    assert set(load.answers) == {"one"}
    assert platform.report("web").metadata["serving"] == "1"


def test_an_update_whose_workers_load_it_slowly_takes_over_when_they_answer(platform, running, envoy):
    platform.deploy("web", hello("one"))
    slow = "import time\ntime.sleep(1)\ndef app(environ, start):\n    start('200 OK', [])\n    return [b'two']\n"
    with Load(envoy, "web") as load:
        assert platform.deploy("web", gunicorn(slow)).state == "live"
        eventually(lambda: load.answers[-1] == "two")
    assert load.failures == []


def test_an_update_that_cannot_be_built_ends_in_error_and_nothing_of_it_is_left(platform, running, envoy):
    platform.deploy("web", hello("one"))
    failed = platform.deploy("web", {**hello("two"), "requirements.txt": "no-such-package-of-micro==99.99\n"})
    assert failed.state == "failed"
    assert failed.reason.startswith("The dependencies could not be installed: No solution found")
    assert "no-such-package-of-micro" in failed.reason
    assert "Detected" not in failed.reason
    assert envoy.get("web") == "one"
    eventually(lambda: len(list(folders.builds("micro").iterdir())) == 1)
    assert len([path for path in folders.environments("micro").iterdir() if path.is_dir()]) == 1


def test_a_folder_with_nothing_to_run_says_what_was_looked_for(platform, running, envoy):
    failed = platform.deploy("web", {"notes.txt": "x"})
    assert failed.state == "failed"
    assert "Procfile" in failed.reason
    assert platform.report("web").status == Status.ERROR


def test_a_git_repository_is_deployed_with_its_ref_and_folder(platform, running, envoy, git):
    files = {f"app/{name}": text for name, text in hello("from git").items()}
    commit = git.commit("shop", files, tag="v1")
    git.commit("shop", {"app/main.py": "raise SystemExit(1)\n"})
    order = operations.Order(source=f"{git.url('shop')}/app@v1")
    deployment = operations.deploy(namespace=platform.namespace, name="shop", version="latest", order=order, by=ADMIN)
    platform.work(deployment)
    eventually(lambda: platform.again(deployment).state == "live")
    assert envoy.get("shop") == "from git"
    assert Release.objects.get(deployment=deployment).digest == f"git:{commit}"


def test_a_killed_service_is_gone_with_its_processes_files_and_accounts(platform, running, envoy):
    platform.deploy("web", hello("one"))
    platform.kill("web")
    began = time.monotonic()
    eventually(lambda: ("web", "latest") not in envoy.endpoints, 5)
    eventually(lambda: pids("web") == [], 5)
    assert time.monotonic() - began < 5
    eventually(lambda: not Service.objects.in_namespace("micro").exists())
    eventually(lambda: list(folders.builds("micro").iterdir()) == [])
    assert list(folders.replicas().iterdir()) == []
    assert list(folders.jobs().iterdir()) == []
    assert list(folders.logs().glob("*/*")) == []
    assert accounts(platform) == []
    with pytest.raises(NotFound):
        platform.kill("web")


def test_a_killed_service_comes_back_under_its_name(platform, running, envoy):
    platform.deploy("web", hello("one"))
    platform.kill("web")
    assert platform.deploy("web", hello("two")).state == "live"
    eventually(lambda: envoy.get("web") == "two")


def test_a_later_deployment_supersedes_one_that_is_starting(platform, running, envoy):
    first = platform.work(platform.queue("web", {"main.py": "import time; time.sleep(600)\n"}))
    eventually(lambda: len(pids("web")) > 0)
    second = platform.deploy("web", hello("two"))
    assert platform.again(first).state == "superseded"
    assert second.state == "live"
    eventually(lambda: Replica.objects.in_namespace("micro").count() == 1)
    eventually(lambda: accounts(platform) == ["web-latest-2"])


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


def test_without_an_acknowledgement_the_old_replica_stays(platform, running, envoy):
    platform.deploy("web", hello("one"))
    envoy.is_away = True
    deployment = platform.work(platform.queue("web", hello("two")))
    eventually(lambda: Replica.objects.in_namespace("micro").filter(state="announced").exists())
    time.sleep(0.5)
    assert envoy.get("web") == "one"
    assert platform.again(deployment).state == "starting"
    assert platform.report("web").status == Status.STARTING
    envoy.is_away = False
    eventually(lambda: platform.again(deployment).state == "live")
    eventually(lambda: Replica.objects.in_namespace("micro").count() == 1)
    assert envoy.get("web") == "two"


def test_a_replica_that_crashes_later_leaves_the_registry_at_once_and_comes_back(platform, running, envoy):
    platform.deploy("web", hello("one"))
    for pid in pids("web"):
        psutil.Process(pid).kill()
    eventually(lambda: envoy.endpoints.get(("web", "latest"), []) == [], 1)
    assert platform.report("web").status == Status.ERROR
    eventually(lambda: platform.report("web").status == Status.RUNNING)
    assert envoy.get("web") == "one"
    assert Replica.objects.in_namespace("micro").get().crashes == 1


def test_one_of_two_replicas_that_crashes_is_missed_by_nobody_for_long(platform, running, envoy):
    platform.deploy("web", hello("one"), instances=2)
    psutil.Process(pids("web")[0]).kill()
    eventually(lambda: len(envoy.endpoints["web", "latest"]) == 1)
    assert platform.report("web").status == Status.RUNNING
    eventually(lambda: len(envoy.endpoints["web", "latest"]) == 2)


def test_more_replicas_than_the_namespace_may_have_are_refused_and_nothing_is_made(platform, settings):
    settings.MICRO_DEFAULT_REPLICAS = 3
    platform.queue("one", hello("1"), instances=2)
    with pytest.raises(ResourceExhausted):
        platform.queue("two", hello("2"), instances=2)
    assert Service.objects.in_namespace("micro").count() == 1
    platform.queue("one", hello("1"), instances=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"env": {"A B": "x"}},
        {"env": {"PORT": "1"}},
        {"env": {"MICRO_AUTH_SECRET": "x"}},
        {"env": {"MICRO_PROTOCOL": "smtp"}},
        {"env": {"A": "\0"}},
        {"command": ["x\0"]},
        {"folder": "../x"},
        {"folder": "/etc"},
        {"instances": -1},
        {"instances": 1000},
    ],
)
def test_an_order_that_makes_no_sense_is_refused(platform, wrong):
    with pytest.raises(InvalidArgument):
        platform.queue("web", hello("one"), **wrong)
    assert not Service.objects.in_namespace("micro").exists()


@pytest.mark.parametrize("name", ["", "A", "a--b", "-a", "a-", "auth", "a/b", "a b", "a;id", "$(id)", "x" * 64])
def test_a_name_outside_the_grammar_is_refused(platform, name):
    order = operations.Order(source="github.com/a/b")
    with pytest.raises(InvalidArgument):
        operations.deploy(namespace=platform.namespace, name=name, version="latest", order=order, by=ADMIN)


def test_an_update_of_what_is_not_there_is_not_found(platform):
    order = operations.Order(source="github.com/a/b")
    with pytest.raises(NotFound, match=r"^web@v2 not found; run it first with micro run$"):
        operations.update(namespace=platform.namespace, name="web", version="v2", order=order, by=ADMIN)


def test_an_update_keeps_the_environment_and_the_number_of_instances(platform):
    platform.queue("web", hello("one"), env={"COLOUR": "blue"}, instances=2)
    order = operations.Order(source="github.com/a/b")
    second = operations.update(namespace=platform.namespace, name="web", version="latest", order=order, by=ADMIN)
    assert second.env == {"COLOUR": "blue"}
    assert second.instances == 2


def test_a_deployment_of_what_is_there_keeps_each_variable_and_the_instances_it_does_not_name(platform):
    first = {"COLOUR": "blue", "SHAPE": "round", "TOKEN": "plain"}
    platform.queue("web", hello("one"), env=first, instances=2, command=["python", "main.py"])
    second = platform.queue("web", hello("two"), env={"COLOUR": "red"}, secrets={"TOKEN": "sealed"})
    assert second.env == {"COLOUR": "red", "SHAPE": "round"}
    assert list(second.secrets) == ["TOKEN"]
    assert second.instances == 2
    assert second.command == []
    third = platform.queue("web", hello("three"), env={"TOKEN": "plain"}, instances=1)
    assert (third.env, third.secrets, third.instances) == ({**second.env, "TOKEN": "plain"}, {}, 1)


def test_an_update_changes_the_variables_it_names_and_no_other(platform):
    platform.queue("web", hello("one"), env={"COLOUR": "blue", "SHAPE": "round"}, command=["python", "main.py"])
    order = operations.Order(source="", env={"COLOUR": "red"})
    second = operations.update(namespace=platform.namespace, name="web", version="latest", order=order, by=ADMIN)
    assert second.env == {"COLOUR": "red", "SHAPE": "round"}
    assert second.command == ["python", "main.py"]


def test_an_update_without_a_source_deploys_the_last_one_again(platform):
    first = platform.queue("web", hello("one"), env={"COLOUR": "blue"})
    order = operations.Order(source="", instances=3)
    second = operations.update(namespace=platform.namespace, name="web", version="latest", order=order, by=ADMIN)
    assert (second.source, second.env, second.instances) == (first.source, {"COLOUR": "blue"}, 3)
    assert platform.again(first).state == "superseded"
    assert platform.report("web").service.source == "source://web:latest"


def test_a_deployment_is_done_again_as_it_was(platform):
    first = platform.queue("web", hello("one"), env={"COLOUR": "blue"}, command=["python", "main.py"], instances=2)
    platform.queue("web", hello("two"), env={"COLOUR": "red"})
    third = operations.redeploy(namespace=platform.namespace, deployment_id=first.pk, by=ADMIN)
    assert (third.source, third.env, third.command, third.instances) == (
        first.source,
        {"COLOUR": "blue"},
        ["python", "main.py"],
        2,
    )


def test_a_deployment_whose_archive_is_gone_is_not_done_again(platform, home):
    first = platform.queue("web", hello("one"))
    shutil.rmtree(home / "sources")
    with pytest.raises(NotFound, match="upload it again"):
        operations.redeploy(namespace=platform.namespace, deployment_id=first.pk, by=ADMIN)
    assert platform.again(first).state == "queued"


def test_a_deployment_of_another_namespace_or_of_a_killed_service_is_not_done_again(platform):
    first = platform.queue("web", hello("one"))
    acme = create_namespace(slug="acme")
    with pytest.raises(NotFound, match="no such deployment"):
        operations.redeploy(namespace=acme, deployment_id=first.pk, by=ADMIN)
    platform.kill("web")
    with pytest.raises(NotFound, match="no such deployment"):
        operations.redeploy(namespace=platform.namespace, deployment_id=first.pk, by=ADMIN)


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


def test_old_releases_go_with_their_builds_and_accounts(platform, running, envoy, monkeypatch):
    from runtime import housekeeping

    monkeypatch.setattr(housekeeping, "KEPT_RELEASES", 2)
    for number in range(4):
        assert platform.deploy("web", hello(str(number))).state == "live"
    eventually(lambda: Replica.objects.in_namespace("micro").count() == 1)
    eventually(lambda: Release.objects.count() == 2)
    eventually(lambda: len(list(folders.builds("micro").iterdir())) == 2)
    assert accounts(platform) == ["web-latest-3", "web-latest-4"]


def test_a_process_without_a_row_is_stopped(platform, running, envoy):
    platform.deploy("web", hello("one"))
    Replica.objects.in_namespace("micro").delete()
    running.wake()
    eventually(lambda: pids("web") == [])


def test_many_deployments_at_once_all_go_live(platform, running, envoy):
    from django.db import connection

    platform.deploy("first", hello("first"))  # makes the environment
    queued = []

    def deploy(name: str) -> None:
        queued.append(platform.work(platform.queue(name, hello(name))))
        connection.close()

    threads = [threading.Thread(target=deploy, args=(f"web{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(queued) == 6
    eventually(lambda: {platform.again(deployment).state for deployment in queued} == {"live"}, 30)
    assert {envoy.get(f"web{number}") for number in range(6)} == {f"web{number}" for number in range(6)}


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


def test_a_runner_that_loses_its_database_goes_on_when_it_is_back(platform, running, envoy):
    from django.db import connection

    platform.deploy("web", hello("one"))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert platform.deploy("web", hello("two")).state == "live"
    assert envoy.get("web") == "two"
    assert len(pids("web")) > 0


def test_the_logs_of_a_superseded_deployment_do_not_stay_open(platform, running, envoy):
    first = platform.work(platform.queue("web", {"main.py": "import time; time.sleep(600)\n"}))
    platform.deploy("web", hello("two"))
    assert platform.again(first).state == "superseded"
    eventually(lambda: len(list(folders.logs().glob("*/*/run/*.log"))) == 1)
    eventually(lambda: list(folders.logs().glob("*/*/build/*.log")) == [])
