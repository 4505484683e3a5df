"""From an upload to a service that answers, with a real runner, real processes and an Envoy that acknowledges."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from deploying import ADMIN, Load, accounts, eventually, gunicorn, hello, pids

from micro.errors import NotFound
from runtime import folders, operations, pipeline
from runtime.models import Release, Replica, Service
from runtime.statuses import Status

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
    assert failed.reason.startswith("A disk of the server is full: the operator has to make room")
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
        *("LANG", "PYTHONUNBUFFERED", "USER", "PATH", "HOME", "VIRTUAL_ENV", "PORT", "COLOUR", "MICRO_SERVICE_NAME"),
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


def test_old_releases_go_with_their_builds_and_accounts(platform, running, envoy, monkeypatch):
    from runtime import housekeeping

    monkeypatch.setattr(housekeeping, "KEPT_RELEASES", 2)
    for number in range(4):
        assert platform.deploy("web", hello(str(number))).state == "live"
    eventually(lambda: Replica.objects.in_namespace("micro").count() == 1)
    eventually(lambda: Release.objects.count() == 2)
    eventually(lambda: len(list(folders.builds("micro").iterdir())) == 2)
    eventually(lambda: accounts(platform) == ["web-latest-4"])


def test_what_a_release_was_granted_ends_with_its_last_replica(platform, running, envoy):
    platform.deploy("web", hello("one"), grants=["store.*"])
    assert platform.deploy("web", hello("two"), grants=[]).state == "live"
    eventually(lambda: accounts(platform) == ["web-latest-2"])
    assert Release.objects.count() == 2
    assert platform.deploy("web", {"main.py": "raise SystemExit(1)\n"}, grants=["store.*"]).state == "failed"
    eventually(lambda: accounts(platform) == ["web-latest-2"])
    assert envoy.get("web") == "two"


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
