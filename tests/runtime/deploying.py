"""Deploying in tests: services to deploy, somebody who deploys, load, and what is left behind."""

from __future__ import annotations

import contextlib
import os
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import psutil
from django.conf import settings
from django_tenants.utils import tenant_context

from primitives.auth.models import Account
from runtime import operations, statuses, tasks
from runtime.models import Deployment
from runtime.sources.uploads import Incoming
from tenants.models import Namespace
from transport import callers

ADMIN = callers.Account(id="admin", type="user", issuer="micro", name="admin", scopes=("admin",))
HELLO = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"@@")
    def log_message(self, *args): pass
print("hello from @@", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def hello(words: str) -> dict[str, str]:
    """The files of a service that answers `words`."""
    return {"main.py": HELLO.replace("@@", words), "Procfile": "web: python main.py\n"}


def gunicorn(app: str) -> dict[str, str]:
    """The files of a service that the gunicorn of this machine's own environment serves."""
    line = f"exec {sys.executable} -m gunicorn --bind 127.0.0.1:$PORT --threads 2 app:app"
    return {"app.py": app, "Procfile": f"web: {line}\n"}


def eventually(claim: Callable[[], object], within_s: float = 15) -> None:
    """Wait until `claim()` holds; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "It did not come true in time."
        time.sleep(0.02)


@dataclass
class Platform:
    """Deploys like a user and works like a worker."""

    namespace: Namespace
    folder: Path

    def queue(self, name: str, files: dict[str, str], **options: object) -> Deployment:
        """Upload files and deploy them; nothing is done about it yet."""
        with Incoming(self.namespace.slug) as archive:
            archive.write(pack(files))
            source = archive.keep(namespace=self.namespace, name=name, version="latest")
        order = operations.Order(source=source, **options)
        return operations.deploy(namespace=self.namespace, name=name, version="latest", order=order, by=ADMIN)

    def work(self, deployment: Deployment) -> Deployment:
        """What the worker does with it."""
        tasks.deploy(namespace=self.namespace.slug, deployment_id=str(deployment.pk))
        return self.again(deployment)

    def deploy(self, name: str, files: dict[str, str], **options: object) -> Deployment:
        """Deploy and wait for the end."""
        deployment = self.work(self.queue(name, files, **options))
        eventually(lambda: self.again(deployment).state in Deployment.FINAL, 20)
        return self.again(deployment)

    def again(self, deployment: Deployment) -> Deployment:
        """The deployment as it is now."""
        return Deployment.objects.in_namespace(self.namespace).get(pk=deployment.pk)

    def report(self, name: str) -> statuses.Report:
        """The status of a service."""
        (report,) = statuses.read(namespace=self.namespace, name=name)
        return report

    def kill(self, name: str) -> None:
        """Kill a service."""
        operations.delete(namespace=self.namespace, name=name, version="latest", by=ADMIN)


def pack(files: dict[str, str]) -> bytes:
    """A tar of files by path."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, BytesIO(text.encode()))
    return buffer.getvalue()


class Load:
    """Requests without a pause, from a thread; every failure is kept."""

    def __init__(self, envoy, name: str) -> None:
        self.envoy, self.name = envoy, name
        self.failures: list[Exception] = []
        self.answers: list[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(10)

    def _send(self) -> None:
        while not self._stopped.wait(0.01):
            try:
                self.answers.append(self.envoy.get(self.name))
            except Exception as error:  # noqa: BLE001 - whatever a request can fail with
                self.failures.append(error)


def answer(envoy, name: str) -> str:
    """What a service answers; blank while it does not."""
    with contextlib.suppress(KeyError, OSError):
        return envoy.get(name)
    return ""


def pids(name: str) -> list[int]:
    """The processes of a service of this test's own server, wherever they hang in the tree."""
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = process.cwd().startswith(str(settings.MICRO_HOME))
            if is_ours and process.environ().get("MICRO_SERVICE_NAME") == name:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def sessions(name: str) -> set[int]:
    """The sessions that processes of a service belong to: one for each replica."""
    found = set()
    for pid in pids(name):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            found.add(os.getsid(pid))
    return found


def accounts(platform: Platform) -> list[str]:
    """The service accounts of the namespace."""
    with tenant_context(platform.namespace):
        return sorted(Account.objects.filter(type="service").values_list("account_id", flat=True))
