"""docs/api.md and docs/dashboard.md, typed as they stand and compared with what they tell of."""

from __future__ import annotations

import json
import re
import subprocess

import httpx
import pytest
from server import ROOT, Server

API, DASHBOARD = ((ROOT / "docs" / name).read_text() for name in ("api.md", "dashboard.md"))
STATIC = ROOT / "platform" / "project" / "static" / "micro"
WEB = """
import http.server, os
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", API, re.DOTALL)


def table(text: str, start: str) -> list[list[str]]:
    """The cells of the rows of the table whose head begins so."""
    rows = text[text.index(start) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.fixture(scope="module")
def typed(server: Server, git) -> tuple[str, str]:
    """What the shell blocks of docs/api.md print, and the token that they make."""
    git.commit("web", {"main.py": WEB, "Procfile": "web: python main.py\n"})
    script = "set -euo pipefail\n" + "\n".join(blocks("sh")) + '\necho "TOKEN $TOKEN"\n'
    script = script.replace("github.com/you/web", git.url("web")).replace(":8082", f":{server.web_port}")
    command = ["bash", "-c", f'PATH="{ROOT}/.venv/bin:$PATH"; {script}']
    done = subprocess.run(
        command, cwd=ROOT, env=server.client_env, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed, _, token = done.stdout.partition("TOKEN ")
    return printed, token.strip()


def test_the_commands_of_the_api_deploy_and_watch(typed):
    printed, _ = typed
    assert '"state":"queued"' in printed.replace(" ", "")
    for line in ("event: step", "event: line", "event: end"):
        assert line in printed
    assert '"state": "live"' in printed
    assert "is built; starting it." in printed


def test_every_call_of_the_table_is_one_and_none_is_left_out(typed, server):
    paths = httpx.get(f"http://127.0.0.1:{server.web_port}/v1/schema", timeout=20).json()["paths"]
    there = {(method.upper(), path) for path, calls in paths.items() for method in calls}
    told = set()
    for call, _ in table(API, "| call | what it does |"):
        *methods, last = re.findall(r"[^`, ]+", call)
        paths_told = [word for word in (*methods, last) if word.startswith("/")]
        methods = [word for word in (*methods, last) if word.isupper()]
        plain = [
            path.partition("?")[0].replace("/web", "/{name}").replace("/shop", "/{name}").replace("<id>", "{id}")
            for path in paths_told
        ]
        told |= {(method, path) for path in plain for method in methods}
    assert told == there


def test_the_problem_is_the_one_that_is_shown(typed, server):
    _, token = typed
    (shown,) = [json.loads(block) for block in blocks("json")]
    answer = httpx.post(
        f"http://127.0.0.1:{server.web_port}/v1/deployments",
        json={"service": "web", "source": "github.com/you/web", "instances": "two"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=20,
    )
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == shown


def test_the_variables_of_the_dashboard_are_read_by_the_settings():
    settings = "".join(path.read_text() for path in (ROOT / "platform" / "project" / "settings").glob("*.py"))
    names = [name for cell, *_ in table(DASHBOARD, "| variable |") for name in re.findall(r"MICRO_\w+", cell)]
    assert len(names) > 7
    assert [name for name in names if f'"{name}"' not in settings] == []


def test_the_sizes_that_are_told_are_those_of_the_files():
    told = [int(size) for size in re.findall(r"(\d+) KB", DASHBOARD)]
    files = [STATIC / "micro.css", next(STATIC.glob("htmx-*.js")), STATIC / "micro.js"]
    assert told == [pytest.approx(file.stat().st_size / 1024, abs=1) for file in files]
