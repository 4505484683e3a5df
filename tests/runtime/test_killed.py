"""Workers and runners that die at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from deploying import Load, accounts, answer, eventually, hello, pids, sessions
from django.utils.timezone import now

from primitives.registry import operations as registry
from project.embedded import valkey
from runtime import folders, leases, pipeline, processes, rollouts, runner, sources
from runtime.builds import plans
from runtime.models import Deployment, Release, Replica

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[2]


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Killer:
    """Lets the first few of the watched calls pass and kills before the next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, survives: int) -> None:
        self.left, self.monkeypatch = survives, monkeypatch
        self.has_struck = False

    def watch(self, owner: object, *names: str) -> None:
        for name in names:
            self.monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, original):
        def counted(*args: object, **options: object) -> object:
            self.left -= 1
            if self.left < 0:
                self.has_struck = True
                raise Killed
            return original(*args, **options)

        return counted


def turn_until_final(platform, deployment, loop: runner.Runner) -> None:
    def is_final() -> bool:
        loop._wait(min(loop.tick(), 0.05))
        return platform.again(deployment).state in Deployment.FINAL

    eventually(is_final)


def test_a_runner_killed_between_any_two_steps_of_an_update_leaves_one_set_of_replicas_and_fails_no_request(
    platform, envoy, monkeypatch
):
    first = runner.Runner()
    deployment = platform.work(platform.queue("web", hello("0")))
    turn_until_final(platform, deployment, first)
    survives, was_struck = 0, True
    with Load(envoy, "web") as load:
        while was_struck:
            survives += 1
            deployment = platform.work(platform.queue("web", hello(str(survives))))
            with monkeypatch.context() as patches:
                killer, doomed = Killer(patches, survives), runner.Runner()
                killer.watch(runner.Runner, "_write")
                killer.watch(registry, "register", "deregister")
                killer.watch(doomed.backend, "start", "terminate", "kill", "forget")
                killer.watch(rollouts, "_finish", "give_up")
                with contextlib.suppress(Killed):
                    doomed.recover()
                    turn_until_final(platform, deployment, doomed)
                    eventually(lambda loop=doomed: loop.tick() and Replica.objects.in_namespace("micro").count() == 1)
                was_struck = killer.has_struck
            heir = runner.Runner()
            heir.recover()
            turn_until_final(platform, deployment, heir)
            assert platform.again(deployment).state == "live"
            eventually(lambda loop=heir: loop.tick() and Replica.objects.in_namespace("micro").count() == 1)
            assert len(list(folders.replicas().iterdir())) == 1
            assert len(envoy.endpoints["web", "latest"]) == 1
            assert envoy.get("web") == str(survives)
            eventually(lambda: len(sessions("web")) == 1)
    assert survives > 10
    assert load.failures == []


def test_a_worker_killed_between_any_two_steps_leaves_one_release(platform, running, envoy, monkeypatch):
    survives, was_struck = -1, True
    while was_struck:
        survives += 1
        deployment = platform.queue("web", hello(str(survives)))
        with monkeypatch.context() as patches:
            killer = Killer(patches, survives)
            killer.watch(leases.Lease, "write")
            killer.watch(sources, "fetch")
            killer.watch(processes, "run")
            killer.watch(plans.Artifact, "save")
            killer.watch(rollouts, "want")
            killer.watch(pipeline.BuildLog, "close")
            with contextlib.suppress(Killed):
                platform.work(deployment)
            was_struck = killer.has_struck
        Deployment.objects.in_namespace("micro").filter(state__in=Deployment.WORKING).update(lease_until=now())
        platform.work(deployment)
        eventually(lambda ours=deployment: platform.again(ours).state == "live")
        assert envoy.get("web") == str(survives)
        eventually(lambda: Replica.objects.in_namespace("micro").count() == 1)
        assert Release.objects.filter(deployment=deployment).count() == 1
        assert Release.objects.latest("pk").number == survives + 1
    assert survives > 5
    eventually(lambda: accounts(platform)[-1].startswith("web-latest-"))


@pytest.fixture
def environment(platform, nats_server, settings) -> dict[str, str]:
    """What our processes get."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
        "HOME": str(platform.folder),
        "MICRO_HOME": str(settings.MICRO_HOME),
        "MICRO_BACKEND": "process",
        "MICRO_SECRET_KEY": settings.SECRET_KEY,
        "MICRO_DRAIN_TIME": "500ms",
        "DATABASE_URL": settings.DATABASE_URL,
        "NATS_URL": nats_server,
        **{name: os.environ[name] for name in ("SSL_CERT_FILE", "PIP_FIND_LINKS") if name in os.environ},
    }


@contextmanager
def process(environment: dict[str, str], *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, *argv], cwd=ROOT, env=environment, start_new_session=True)
    try:
        yield child
    finally:
        with_children = [child.pid, *_children(child)]
        for pid in with_children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        child.wait()


def _children(child: subprocess.Popen[bytes]) -> list[int]:
    """Our own processes below it; not what it started in sessions of their own, which a kill does not reach either."""
    if child.poll() is not None:
        return []
    below = psutil.Process(child.pid).children(recursive=True)
    return [other.pid for other in below if os.getsid(other.pid) == child.pid]


@contextmanager
def broker(environment: dict[str, str]) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="micro-vk-", dir="/tmp") as name:
        folder = Path(name)
        config = valkey.config(folder=folder, socket=folder / "s", password="x")
        (folder / "c").write_text(config)
        server = subprocess.Popen(valkey.command(folder / "c"), stdout=subprocess.DEVNULL)
        environment["CELERY_BROKER_URL"] = valkey.url(folder / "s", "x")
        eventually((folder / "s").exists)
        try:
            yield
        finally:
            server.kill()
            server.wait()


WORKER = (
    "-m",
    "celery",
    "-A",
    "project.celery",
    "worker",
    "-Q",
    "deploys,chores",
    "-B",
    "-s",
    "/nonexistent",
    "-c",
    "1",
    "-l",
    "warning",
)
RUNNER = ("manage.py", "runner")
SLOW = """
import pathlib, time
def build_wheel(*args, **kwargs):
    while not pathlib.Path({flag!r}).exists(): time.sleep(0.1)
    import zipfile
    with zipfile.ZipFile(args[0] + "/slow-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("slow-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1\\n")
        wheel.writestr("slow-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slow-1.dist-info/RECORD", "")
    return "slow-1-py3-none-any.whl"
"""


def test_a_build_whose_worker_is_killed_hard_is_done_again_within_seconds_and_its_orphans_are_stopped(
    platform, running, envoy, environment, tmp_path
):
    files = {
        **hello("one"),
        "slow.py": SLOW.format(flag="go"),
        "pyproject.toml": "[project]\nname='slow'\nversion='1'\n"
        "[build-system]\nrequires=[]\nbuild-backend='slow'\nbackend-path=['.']\n",
    }

    def builders() -> set[int]:
        found = [p for p in psutil.process_iter(["name", "cmdline"]) if p.info["name"] == "uv"]  # not what walls it in
        commands = {p.pid: " ".join(p.info["cmdline"] or []) for p in found}
        return {pid for pid, line in commands.items() if str(folders.home()) in line and " pip install " in line}

    with broker(environment):
        with process(environment, *WORKER):
            deployment = platform.queue("web", files)
            Deployment.objects.in_namespace("micro").update(lease_until=now())  # the test's own process has no broker
            eventually(builders, 30)
            orphans = builders()
        killed_at = time.monotonic()
        assert builders() == orphans
        assert platform.again(deployment).state == "building"
        with process(environment, *WORKER):
            eventually(lambda: builders() - orphans, 60)
            assert not builders() & orphans
            (folders.build("micro", deployment.pk) / "source" / "go").touch()
            eventually(lambda: platform.again(deployment).state == "live", 30)
    assert time.monotonic() - killed_at < 60
    assert platform.again(deployment).attempts == 2
    assert envoy.get("web") == "one"
    assert Release.objects.count() == 1


def test_a_service_outlives_its_killed_runner_and_the_next_one_adopts_it(platform, envoy, environment):
    with process(environment, *RUNNER):
        deployment = platform.work(platform.queue("web", hello("one")))
        eventually(lambda: platform.again(deployment).state == "live", 30)
        before = pids("web")
    with Load(envoy, "web") as load:
        time.sleep(0.3)
        with process(environment, *RUNNER):
            second = platform.work(platform.queue("other", hello("two")))
            eventually(lambda: platform.again(second).state == "live", 30)
            assert pids("web") == before
            deployment = platform.work(platform.queue("web", hello("three")))
            eventually(lambda: platform.again(deployment).state == "live", 30)
            eventually(lambda: not set(pids("web")) & set(before))
    assert load.failures == []


def test_replicas_that_were_stopped_with_the_server_come_back_with_the_next_runner(platform, envoy, environment):
    with process(environment, *RUNNER):
        deployment = platform.work(platform.queue("web", hello("one")))
        eventually(lambda: platform.again(deployment).state == "live", 30)
    subprocess.run([sys.executable, *RUNNER, "--stop-all"], cwd=ROOT, env=environment, check=True, timeout=30)
    assert pids("web") == []
    assert platform.report("web").metadata["release"] == "1"
    with process(environment, *RUNNER):
        eventually(lambda: pids("web") and answer(envoy, "web") == "one", 30)
        eventually(lambda: platform.report("web").metadata.get("error") is None)
    assert Replica.objects.in_namespace("micro").get().crashes == 0


def test_a_second_runner_for_the_same_state_folder_ends_with_a_sentence(platform, running, environment):
    done = subprocess.run(
        [sys.executable, *RUNNER], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "Another runner" in done.stderr


def test_a_runner_ends_soon_after_sigterm_and_leaves_its_replicas_alone(platform, envoy, environment):
    with process(environment, *RUNNER) as child:
        deployment = platform.work(platform.queue("web", hello("one")))
        eventually(lambda: platform.again(deployment).state == "live", 30)
        child.terminate()
        began = time.monotonic()
        assert child.wait(10) == 0
        assert time.monotonic() - began < 5
    assert envoy.get("web") == "one"
