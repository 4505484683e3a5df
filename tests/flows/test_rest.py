"""The REST API's story, told by httpx: a token, a git URL, a live log, an address that works; and nobody else's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from server import Server, eventually

STREAMS = 200
HELLO = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, flush=True)
        self.send_response(200); self.end_headers(); self.wfile.write(b"hello by REST")
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {"main.py": HELLO, "Procfile": "web: python main.py\n"}


def jwt(server: Server, user: str, secret: str, namespace: str) -> str:
    """The access token that the command line gets."""
    request = {"id": user, "secret": secret, "options": {"namespace": namespace}}
    return server.call("auth", "Auth.Token", request)["token"]["access_token"]  # type: ignore[index]


@contextmanager
def client(server: Server, token: str) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{server.web_port}/v1/"
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as opened:
        yield opened


def events(api: httpx.Client, url: str, **query: object) -> Iterator[tuple[float, str, dict]]:
    """The events of a stream, with the time at which each arrived."""
    with api.stream("GET", url, params=query, timeout=120) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream"
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield time.monotonic(), name, json.loads(line.removeprefix("data: "))


def deploy(api: httpx.Client, service: str, source: str, **more: object) -> dict:
    answer = api.post("deployments", json={"service": service, "source": source, **more})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["url"]
    return answer.json()


def finished(api: httpx.Client, deployment: dict) -> dict:
    eventually(lambda: api.get(deployment["url"]).json()["finished_at"], 60, f"the end of {deployment['url']}")
    return api.get(deployment["url"]).json()


def connections(server: Server) -> int:
    """How many connections the web process holds, with readers and with the log store."""
    found = [connection for process in server.named("gunicorn") for connection in process.net_connections("tcp")]
    return sum(connection.status == psutil.CONN_ESTABLISHED for connection in found)


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[httpx.Client]:
    """The REST API with an API token that was made with the command line's token."""
    with client(server, jwt(server, "admin", "micro", "micro")) as logged_in:
        made = logged_in.post("api-tokens", json={"name": "flows", "role": "admin", "expires_in_days": 1})
        assert made.status_code == 201, made.text
    with client(server, made.json()["token"]) as opened:
        yield opened


@pytest.fixture
def hello(api: httpx.Client, git) -> Iterator[dict]:
    """A service that runs."""
    git.commit("rest-hello", FILES)
    deployment = finished(api, deploy(api, "rest-hello", git.url("rest-hello")))
    assert deployment["state"] == "live", deployment
    yield deployment
    api.delete("services/rest-hello")


def test_httpbin_runs_from_its_git_url_and_its_log_arrives_line_by_line(api, server, git):
    git.commit(
        "rest-httpbin",
        {
            "requirements.txt": "httpbin==0.10.2\ngunicorn\n# not the environment of another story\n",
            "Procfile": "web: gunicorn -k gthread --threads 8 -b 127.0.0.1:$PORT httpbin:app\n",
        },
    )
    deployment = deploy(api, "rest-httpbin", git.url("rest-httpbin"))
    try:
        seen = list(events(api, deployment["logs_url"], follow=True))
        states = [event["state"] for _, name, event in seen if name == "step"]
        lines = [(at, event["text"]) for at, name, event in seen if name == "line"]
        assert states[-1] == "live", seen[-5:]
        assert {"building", "starting"} & set(states)  # a step that is over at once may not be seen
        assert any("httpbin==0.10.2" in text for _, text in lines)
        assert lines[-1][0] - lines[0][0] > 0.3  # as they come, not all at the end
        assert seen[-1][1] == "end"
        address = httpx.URL(api.get(deployment["url"]).json()["address"])
        assert server.get("/get?a=1", host=address.host).json()["args"] == {"a": "1"}
        assert api.get("services/rest-httpbin").json()["status"] == "running"
    finally:
        assert api.delete("services/rest-httpbin").status_code == 204
    assert api.get("services/rest-httpbin").status_code == 404


def test_a_commit_that_fails_shows_why_and_the_older_one_serves(api, server, git, hello):
    git.commit("rest-hello", {**FILES, "requirements.txt": "no-such-package-of-micro==99.99\n"})
    failed = api.post("services/rest-hello/deployments", json={}).json()
    seen = list(events(api, failed["logs_url"], follow=True))
    (last,) = [event for _, name, event in seen[-2:] if name == "step"]
    assert last["state"] == "failed"
    assert "no-such-package-of-micro" in last["reason"] + str(seen)
    assert api.get(failed["url"]).json()["reason"] == last["reason"]
    service = api.get("services/rest-hello").json()
    assert (service["status"], service["error"]) == ("error", last["reason"])
    assert server.get("/rest-hello/").text == "hello by REST"
    retried = api.post(f"deployments/{hello['id']}/retry")
    assert retried.status_code == 202


def test_what_a_service_prints_arrives_while_it_runs(api, server, hello):
    got = []
    with ThreadPoolExecutor(1) as pool:

        def read() -> None:
            for _, name, event in events(api, "services/rest-hello/logs", follow=True, lines=0):
                if name == "line":
                    got.append(event)
                    return

        reading = pool.submit(read)
        for number in range(50):
            server.get(f"/rest-hello/{number}")
            if reading.done():
                break
            time.sleep(0.1)
        reading.result(20)
    assert got[0]["text"].startswith("asked for /")
    assert got[0]["release"] == api.get("services/rest-hello").json()["release"]
    assert got[0]["replica"].startswith("rest-hello-")


def test_two_hundred_streams_are_held_while_calls_are_answered(api, server, hello):
    """Each ends with its client, and with it what it held; none takes a thread from those who call."""
    held = [httpx.Client(headers=api.headers, timeout=60) for _ in range(STREAMS)]
    url = f"{api.base_url}services/rest-hello/logs?follow=true"
    before = connections(server)

    def open_stream(one: httpx.Client) -> Iterator[bytes]:
        answer = one.send(one.build_request("GET", url), stream=True)
        assert answer.status_code == 200
        content = answer.iter_raw()
        next(content)
        return content

    try:
        with ThreadPoolExecutor(16) as pool:
            streams = list(pool.map(open_stream, held))
        eventually(lambda: connections(server) >= before + STREAMS, 20, "each stream is held")
        took = []
        for _ in range(20):
            started = time.monotonic()
            assert api.get("services").status_code == 200
            took.append(time.monotonic() - started)
        assert sorted(took)[18] < 1.0
    finally:
        for one in held:
            one.close()
    del streams
    eventually(lambda: connections(server) <= before + 5, 30, "every connection of a stream is gone")


def test_a_reader_who_leaves_at_once_leaves_nothing_behind(api, server, hello):
    before = connections(server)
    for number in range(40):
        with httpx.Client(headers=api.headers, timeout=30) as one, suppress(httpx.ReadTimeout):
            url = f"{api.base_url}services/rest-hello/logs?follow=true"
            with one.stream("GET", url) as answer:
                next(answer.iter_raw())
                time.sleep(0.002 * number)  # at whatever it is doing just then
    eventually(lambda: connections(server) <= before + 5, 30, "every connection of a stream is gone")


def test_a_second_user_sees_nothing_of_the_first(api, server, hello):
    server.user_of("rest-two", "secret-of-two")
    with client(server, jwt(server, "owner", "secret-of-two", "rest-two")) as other:
        assert other.get("services").json()["items"] == []
        assert other.get("deployments").json()["items"] == []
        assert [item["name"] for item in other.get("namespaces").json()["items"]] == ["rest-two"]
        for path in (
            "services/rest-hello",
            "services?namespace=micro",
            "namespaces/micro",
            f"deployments/{hello['id']}",
        ):
            assert other.get(path).status_code == 404, path
        for path in ("services/rest-hello/logs", f"deployments/{hello['id']}/logs", "api-tokens?namespace=micro"):
            assert other.get(path).status_code == 404, path
        assert other.delete("services/rest-hello").status_code == 404
        assert other.post(f"deployments/{hello['id']}/retry").status_code == 404
        assert other.post("namespaces", json={"name": "rest-three"}).status_code == 403
    assert api.get("services/rest-hello").json()["status"] == "running"


def test_the_same_refusals_as_at_the_command_line(api, server):
    for source in ("file:///etc/passwd", "ext::sh -c id", "https://169.254.169.254/a/b", "https://localhost/a/b"):
        answer = api.post("deployments", json={"service": "bad", "source": source})
        assert answer.status_code == 400, source
        assert answer.headers["content-type"] == "application/problem+json"
        said = server.micro("run", source, "--name", "bad", check=False)
        assert said.returncode == 1


def test_schemathesis_finds_nothing(api, server, hello, tmp_path: Path):
    """Its own command line, bounded; every check it has."""
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{api.base_url}schema"]
    options = ["--checks", "all", "--max-examples", "10", "--seed", "1", "--request-timeout", "20", "--no-color"]
    token = ["-H", f"Authorization: {api.headers['Authorization']}"]
    done = subprocess.run(
        [*command, *options, *token], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout[-8000:]
    assert " failed" not in done.stdout.splitlines()[-1]


CONFIGURATION = """
# A stream that is followed has no end.
[parameters]
follow = false

# Rules that no schema can state: reserved names, the grammar of git sources, names of variables. They end in 400.
[[operations]]
include-name-regex = "^POST /v1/(namespaces|deployments|api-tokens|services/.name./deployments)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "429"]

# Nor can it state that a deployment which is over is not cancelled. That ends in 412.
[[operations]]
include-name-regex = "^POST /v1/deployments/.id./cancel$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "412"]
"""
