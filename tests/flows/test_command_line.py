"""The story of what server and dashboard can do, done on the command line."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from server import MICRO, Server

WEB = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(f"{os.environ.get('COLOUR')} {os.environ.get('KEY')} one".encode())
    def log_message(self, *args): pass
print("warm", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def shelf(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose service tells its variables; it runs."""
    folder = tmp_path_factory.mktemp("shelf") / "shelf"
    folder.mkdir()
    (folder / "main.py").write_text(WEB)
    (folder / "Procfile").write_text("web: python main.py\n")
    server.login()
    server.micro("run", folder, "--env_vars=COLOUR=red", "--secrets=KEY=hidden")
    yield folder
    server.micro("kill", "shelf")


def documents(server: Server, *args: str | Path) -> Any:
    return json.loads(server.micro(*args, "-o", "json").stdout)


def said(server: Server) -> str:
    return server.get("/", host="shelf--micro.localhost").text


def test_variables_and_secrets_are_given_shown_changed_and_removed(server: Server, shelf: Path):
    assert said(server) == "red hidden one"
    assert server.micro("vars", "list", "shelf").stdout == "COLOUR=red\nKEY=[secret]\n"
    assert documents(server, "secrets", "list", "shelf") == [{"name": "KEY"}]
    server.micro("vars", "set", "shelf", "COLOUR=blue")
    assert said(server) == "blue hidden one"
    server.micro("secrets", "del", "shelf", "KEY")
    assert said(server) == "blue None one"
    done = server.micro("secrets", "del", "shelf", "COLOUR", check=False)
    assert (done.returncode, done.stderr) == (1, "shelf has no secret COLOUR.\n")


def test_deployments_are_listed_shown_and_done_again(server: Server, shelf: Path):
    found = documents(server, "deployments", "shelf")
    assert {each["state"] for each in found} == {"live"}
    first = found[-1]
    assert (first["release"], first["env_names"]) == (1, ["COLOUR", "KEY"])
    assert documents(server, "deployment", first["id"][:8]) == first
    assert server.micro("deployments", "shelf").stdout.splitlines()[-1].split("\t")[0] == first["id"][:8]
    server.micro("redeploy", first["id"][:8])
    assert said(server) == "red hidden one"
    assert documents(server, "redeploy", "shelf@latest")["status"] == "running"
    after = documents(server, "deployments", "shelf")
    assert len(after) == len(found) + 2
    assert {each["state"] for each in after} == {"live"}
    assert [each["is_replaced"] for each in after] == [False, *[True] * (len(after) - 1)]
    shown = [line.split("\t") for line in server.micro("deployments", "shelf").stdout.splitlines()[1:]]
    assert [row[3] for row in shown] == ["live", *["replaced"] * (len(after) - 1)]
    assert [each["id"] for each in documents(server, "deployments", "shelf", "--state=live")] == [after[0]["id"]]
    assert documents(server, "deployments", "shelf", "--state=replaced") == after[1:]
    done = server.micro("deployments", "nosuch")
    assert (done.stdout, done.stderr) == ("", "No such deployment of nosuch in the namespace micro.\n")
    assert "state: replaced\n" in server.micro("deployment", first["id"][:8]).stdout
    assert server.micro("deployment", "ffffffff", check=False).returncode == 127


def test_a_service_is_updated_by_its_name_from_its_own_source(server: Server, shelf: Path):
    before = len(documents(server, "deployments", "shelf"))
    done = server.micro("update", "shelf@latest")
    assert "Sending" not in done.stderr
    assert len(documents(server, "deployments", "shelf")) == before + 1
    assert server.micro("update", "nosuch@v1", check=False).returncode == 1


def test_a_watched_folder_is_live_soon_after_it_was_saved(server: Server, shelf: Path):
    with subprocess.Popen(
        [MICRO, "run", "--watch", "--watch_delay=100", shelf],
        env=server.client_env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stderr

        def said_on_the_way_to(line: str) -> list[str]:
            return list(iter(process.stderr.readline, f"{line}\n"))

        watching = f"Watching {shelf} ..."
        said_on_the_way_to(watching)
        (shelf / "main.py").write_text(WEB.replace(" one", " two"))
        assert any(line.startswith("shelf is running") for line in said_on_the_way_to(watching))
        assert said(server).endswith("two")
        (shelf / "main.py").write_text("raise SystemExit('broken')")
        assert any(line.startswith("shelf failed") for line in said_on_the_way_to(watching))
        (shelf / "main.py").write_text(WEB.replace(" one", " three"))
        assert any(line.startswith("shelf is running") for line in said_on_the_way_to(watching))
        assert said(server).endswith("three")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.endswith("No longer watching. shelf goes on running: `micro kill shelf` stops it.\n")


def test_what_a_service_prints_while_it_starts_is_shown(server: Server, shelf: Path):
    lines = server.micro("redeploy", "shelf").stderr.splitlines()
    assert "  warm" in lines
    assert lines[-1].startswith("shelf is running at ")


def test_an_api_token_opens_the_rest_api_until_it_is_revoked(server: Server, shelf: Path):
    text = server.micro("tokens", "create", "ci", "--role=reader", "--days=1").stdout.strip()
    url, headers = f"http://localhost:{server.web_port}/v1/services", {"Authorization": f"Bearer {text}"}
    assert httpx.get(url, headers=headers).status_code == 200
    [known] = [each for each in documents(server, "tokens") if each["name"] == "ci"]
    assert (known["role"], text.startswith(known["hint"]), "token" in known) == ("reader", True, False)
    server.micro("tokens", "revoke", "ci")
    assert httpx.get(url, headers=headers).status_code == 401
    assert server.micro("tokens", "revoke", "ci", check=False).returncode == 127


def test_a_namespace_is_made_listed_and_worked_in(server: Server):
    assert documents(server, "namespaces", "create", "cellar")["environment"] == "local"
    known = {each["name"]: each["is_current"] for each in documents(server, "namespaces")}
    assert (known["micro"], known["cellar"]) == (True, False)
    done = server.micro("namespaces", "create", "cellar", check=False)
    assert (done.returncode, done.stderr) == (1, "Namespace 'cellar' already exists.\n")


def test_tokens_and_secrets_of_accounts_are_made_for_other_programs(server: Server):
    server.micro("auth", "create", "account", "--secret=first one", "clerk")
    made = documents(server, "auth", "create", "token", "--id=clerk", "--secret=first one", "--expiry=60")
    assert made["access_token"].count(".") == 2
    server.micro("auth", "update", "secret", "--new_secret=other one", "clerk")
    done = server.micro("auth", "create", "token", "--id=clerk", "--secret=first one", check=False)
    assert (done.returncode, done.stderr) == (1, "Error creating token: Secret not correct\n")
    server.micro("auth", "delete", "account", "clerk")


def test_the_address_of_the_pages_is_told(server: Server):
    url = server.micro("web").stdout.strip()
    assert url == f"http://localhost:{server.web_port}"
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_the_platforms_own_services_help_with_the_words_of_their_protos(server):
    told = " ".join(server.micro("registry", "getService", "--help").stdout.split())
    assert "--options_descriptors bool Fill Service.descriptors in the answer." in told
