"""The service that is deployed while a process dies: its source, how it is deployed, and its rows."""

from __future__ import annotations

import itertools
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psutil
import psycopg
from psycopg.rows import namedtuple_row

sys.path[:0] = [str(Path(__file__).parents[1] / "flows"), str(Path(__file__).parents[1])]

from gitserver import GitServer  # noqa: E402 - the folders above make it importable
from server import Server, environment, eventually  # noqa: E402

NAME = "target"
INSTANCES = 2
SLOW_S = 3.0  # how long a step is drawn out by what is deployed
FINAL = ("live", "failed", "superseded", "cancelled")
MAIN = """
import http.server, os, time
time.sleep(@pause@)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "@length@"); self.end_headers()
        self.wfile.write(b"@word@")
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
Server((os.environ["MICRO_SERVICE_ADDRESS"].rpartition(":")[0], int(os.environ["PORT"])), Handler).serve_forever()
"""
SLOW_BACKEND = """
import time, zipfile
def build_wheel(folder, *args, **kwargs):
    time.sleep(@pause@)
    with zipfile.ZipFile(folder + "/slow-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("slow-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1\\n")
        wheel.writestr("slow-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slow-1.dist-info/RECORD", "")
    return "slow-1-py3-none-any.whl"
"""
SLOW_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "slow"\nbackend-path = ["."]\n'


def files(word: str, *, slow_build: bool = False, slow_start: bool = False) -> dict[str, str]:
    """A web app that answers `word`, and takes its time to build or to start when it is told to."""
    main = MAIN.replace("@word@", word).replace("@length@", str(len(word)))
    found = {
        "main.py": main.replace("@pause@", str(SLOW_S if slow_start else 0)),
        "Procfile": "web: exec python main.py\n",
    }
    if slow_build:
        backend = SLOW_BACKEND.replace("@pause@", str(SLOW_S)) + f"# {uuid4()}\n"  # no cache has it yet
        found |= {"requirements.txt": "./slow\n", "slow/slow.py": backend, "slow/pyproject.toml": SLOW_PROJECT}
    return found


@dataclass
class Target:
    """The service on one server: deployed from a repository by REST, and seen through the server's own database."""

    server: Server
    git: GitServer
    token: str
    words: itertools.count[int] = field(default_factory=itertools.count)
    _connection: psycopg.Connection | None = None

    @property
    def host(self) -> str:
        """Its own host on the API gateway."""
        return f"{NAME}--micro.localhost:{self.server.api_port}"

    @property
    def url(self) -> str:
        """The API gateway."""
        return f"http://127.0.0.1:{self.server.api_port}/"

    def next_word(self) -> str:
        """What its next version answers."""
        return f"word {next(self.words)}"

    def commit(self, word: str, **how: bool) -> None:
        """Make it the newest commit of its repository."""
        self.git.commit(NAME, files(word, **how))

    def deploy(self, *, by_sidecar: bool = False) -> UUID:
        """Have its newest commit accepted, by REST or by gRPC; the deployment's id."""
        if by_sidecar:
            self.server.micro("update", "--detach", self.git.url(NAME), "--name", NAME)
            return self.rows("SELECT id FROM runtime_deployment ORDER BY created_at DESC LIMIT 1")[0].id
        order = {"service": NAME, "source": self.git.url(NAME), "instances": INSTANCES}
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"http://127.0.0.1:{self.server.web_port}/v1/deployments"
        answer = httpx.post(url, json=order, headers=headers, timeout=30)
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["id"])

    def state(self, deployment: UUID) -> str:
        """How far the deployment is; blank while the database is away."""
        found = self.rows("SELECT state FROM runtime_deployment WHERE id = %s", deployment)
        return found[0].state if found else ""

    def reason(self, deployment: UUID) -> str:
        """Why it failed."""
        found = self.rows("SELECT reason FROM runtime_deployment WHERE id = %s", deployment)
        return found[0].reason if found else ""

    def replica_states(self, deployment: UUID | None = None) -> list[str]:
        """How far the replicas are: those of one deployment, or all; nothing while the database is away."""
        own = "WHERE release.deployment_id = %s" if deployment else ""
        query = f"SELECT state FROM runtime_replica JOIN runtime_release release ON release.id = release_id {own}"  # noqa: S608
        return [row.state for row in self.rows(query, *([deployment] if deployment else []))]

    def replica_ids(self) -> set[str]:
        """The replicas that rows stand for, of all services."""
        return {str(row.id) for row in self.rows("SELECT id FROM runtime_replica")}

    def rows(self, query: str, *values: object) -> list:
        """The rows of a query; nothing while the database is away."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._database, autocommit=True, row_factory=namedtuple_row)
            return self._connection.execute(query, values).fetchall()
        except psycopg.OperationalError:
            self._connection = None
            return []

    @property
    def _database(self) -> str:
        found = (environment(process).get("DATABASE_URL", "") for process in self.server.named("manage.py runner"))
        return next((url for url in found if url), "postgresql://nowhere.invalid/")

    def settle(self) -> None:
        """Have a version serve as every cell finds it: all replicas there, nothing under way."""
        if self.replica_states() == ["serving"] * INSTANCES:
            return
        word = self.next_word()
        self.commit(word)
        deployment = self.deploy()
        eventually(lambda: self.state(deployment) == "live", 60, f"a version to begin with ({self.reason(deployment)})")
        eventually(lambda: self.replica_states() == ["serving"] * INSTANCES, 60, "one set of replicas to begin with")

    def answer(self) -> str:
        """What it says now."""
        return httpx.get(self.url, headers={"Host": self.host}, timeout=10).text


def guests(server: Server) -> dict[int, str]:
    """What the server runs for others, builds and replicas alike: pids, each with its HOME, which is ours to give."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has just ended, or is another's
            home = process.environ().get("HOME", "")
            if home.startswith(str(server.home)):
                found[process.pid] = home
    return found
