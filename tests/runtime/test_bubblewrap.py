"""Processes within walls, where bubblewrap works: what a service sees of this machine, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deploying import eventually, pids, sessions

from project.server import backend
from project.server.errors import CannotRun
from runtime import folders
from runtime.backends import bubblewrap
from runtime.models import Replica

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("walls")]
PROBE = """
import http.server, json, os, pathlib, signal, sys
def writes(path):
    try:
        pathlib.Path(path).write_text("x")
        return True
    except OSError:
        return False
def ended(*_):
    pathlib.Path("ended").write_text("")
    sys.exit(0)
signal.signal(signal.SIGTERM, ended)
found = {
    "own": writes("own"), "tmp": writes("/tmp/x"), "home": writes(os.environ["HOME"] + "/x"),
    "outside": [path for path in json.loads(%r) if writes(path)],
    "state": sorted(os.listdir(%r)),
    "secret": os.path.exists(%r),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "user": os.getuid(), "sockets": os.listdir("/run"), "user's": os.listdir(%r),
    "caps": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(found).encode())
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def probe(state: Path, secret: Path) -> dict[str, str]:
    outside = ["/etc/micro-test", "/usr/micro-test", str(Path.home() / "micro-test"), str(state / "x" / "y")]
    return {
        "main.py": PROBE % (json.dumps(outside), str(state), str(secret), str(Path.home())),
        "Procfile": "web: exec python main.py\n",
    }


def test_a_checkout_below_tmp_is_seen_by_what_is_walled_in(tmp_path, monkeypatch):
    (tmp_path / "venv").mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    command = bubblewrap.around(["true"], bubblewrap.Room(Path("/"), {}))
    assert "--ro-bind {0} {0}".format(tmp_path / "venv") in " ".join(command)
    assert command.index(str(tmp_path / "venv")) > command.index("/tmp")  # noqa: S108


def test_a_service_sees_its_own_files_and_nothing_of_the_server_or_of_other_processes(platform, running, envoy, home):
    secret = home / "secret_key"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("x")
    assert platform.deploy("web", probe(home, secret)).state == "live"
    found = json.loads(envoy.get("web"))
    assert (found["own"], found["tmp"], found["home"], found["outside"]) == (True, True, True, [])
    assert set(found["state"]) <= {"builds", "environments", "replicas"}
    assert found["secret"] is False
    assert found["processes"] <= 3
    assert (found["user"] != 0, found["sockets"]) == (True, [])
    assert ".bashrc" not in found["user's"]
    assert found["caps"] == ["0000000000000000"]
    replica = Replica.objects.in_namespace("micro").get()
    assert not (folders.replicas() / str(replica.pk) / "x").exists()


def test_it_gets_its_sigterm_and_nothing_of_it_is_left(platform, running, envoy, home):
    deployment = platform.deploy("web", probe(home, home / "none"))
    source = folders.build("micro", deployment.pk) / "source"
    platform.deploy("web", probe(home, home / "other"))
    eventually((source / "ended").exists)
    eventually(lambda: len(sessions("web")) == 1)
    platform.kill("web")
    eventually(lambda: pids("web") == [])


def test_how_it_ended_is_told_as_without_walls(platform, running, envoy):
    ends = {"main.py": "import os, sys; print('last', flush=True); sys.exit(7)\n"}
    assert "ended with status 7 before it answered" in platform.deploy("one", ends).reason
    dies = {"main.py": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n"}
    assert "was ended by signal SIGSEGV" in platform.deploy("two", dies).reason


def test_where_it_is_not_used_the_server_says_for_whom_that_is(settings, monkeypatch):
    settings.MICRO_BACKEND = "process"
    assert "bubblewrap" in backend.shown()
    settings.MICRO_BUBBLEWRAP = "off"
    assert backend.shown().startswith("services run as processes of this machine: for one trusted user; builds may use")
    settings.MICRO_BUBBLEWRAP = "auto"
    bubblewrap.works.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    try:
        assert not bubblewrap.is_used()
    finally:
        monkeypatch.undo()
        bubblewrap.works.cache_clear()


def test_what_does_not_answer_in_a_bad_moment_is_no_reason_to_do_without_walls(settings, monkeypatch):
    bubblewrap.works.cache_clear()

    def late(*_arguments: object, **_options: object) -> None:
        raise subprocess.TimeoutExpired("bwrap", 1)

    monkeypatch.setattr(subprocess, "run", late)
    try:
        with pytest.raises(TimeoutError):
            bubblewrap.is_used()
        settings.MICRO_BUBBLEWRAP = "on"
        assert bubblewrap.is_used()
    finally:
        monkeypatch.undo()
        bubblewrap.works.cache_clear()


def test_a_server_that_must_have_walls_does_not_start_without(settings, monkeypatch):
    settings.MICRO_BUBBLEWRAP = "on"
    monkeypatch.setattr(bubblewrap, "works", lambda: False)
    with pytest.raises(CannotRun, match="MICRO_BUBBLEWRAP is on"):
        backend._settle_walls()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_an_earlier_version_made_is_given_to_the_walls_user_and_no_link_is_followed(tmp_path):
    outside, source = tmp_path / "outside", tmp_path / "source"
    outside.write_text("")
    (source / "below").mkdir(parents=True)
    (source / "below" / "file").write_text("")
    (source / "link").symlink_to(outside)
    (source / "folder").symlink_to(tmp_path)
    bubblewrap.give(source)
    given = [source, source / "below", source / "below" / "file", source / "link", source / "folder"]
    assert {path.lstat().st_uid for path in given} == {bubblewrap.USER}
    assert {outside.stat().st_uid, tmp_path.stat().st_uid} == {0}
