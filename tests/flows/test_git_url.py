"""A git URL becomes a running service: the public package httpbin, served by gunicorn from a Procfile."""

from __future__ import annotations

import time

import pytest
from server import Server

pytestmark = pytest.mark.backends("process", "docker")
ONE_ANSWER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"%s")
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def httpbin(server: Server, git):
    git.commit(
        "httpbin",
        {
            "requirements.txt": "httpbin==0.10.2\ngunicorn\n",
            "Procfile": "web: gunicorn -k gthread --threads 8 -b 0.0.0.0:$PORT httpbin:app\n",
        },
    )
    server.micro("run", git.url("httpbin"), timeout_s=300)
    yield
    server.micro("kill", "httpbin")


@pytest.fixture(params=["own host", "path"])
def get(request: pytest.FixtureRequest, server: Server):
    """A GET that reaches httpbin on its own host, or below its name."""
    if request.param == "own host":
        return lambda path, **options: server.get(path, host="httpbin--micro.localhost", **options)
    return lambda path, **options: server.get("/httpbin" + path, **options)


def test_it_is_running(server):
    assert server.status("httpbin") == "running"


def test_get_echoes_the_query(get):
    assert get("/get?a=1").json()["args"] == {"a": "1"}


def test_a_teapot_stays_a_teapot(get):
    assert get("/status/418").status_code == 418


def test_streamed_lines_arrive(get):
    assert len(get("/stream/3").text.splitlines()) == 3


def test_a_drip_is_passed_on_as_it_comes(server, get):
    started = time.monotonic()
    answer = get("/drip?duration=1&numbytes=5&delay=0")
    assert answer.content == b"*****"
    assert time.monotonic() - started > 0.5


def test_a_cookie_that_is_set_comes_back(server, get):
    answer = get("/cookies/set?flavour=oat")
    assert answer.status_code == 302
    assert answer.cookies["flavour"] == "oat"


def test_cookies_below_a_name_are_limited_to_it(server):
    answer = server.get("/httpbin/cookies/set?flavour=oat")
    assert "Path=/httpbin" in answer.headers["set-cookie"]
    assert server.get("/httpbin/cookies", cookies={"flavour": "oat"}).json() == {"cookies": {"flavour": "oat"}}


def test_redirects_stay_on_the_address_that_was_asked(server, get):
    answer = get("/redirect/2")
    assert answer.status_code == 302
    followed = get("/relative-redirect/2")
    assert followed.headers["location"].endswith("/relative-redirect/1")
    below = server.get("/httpbin/redirect/2").headers["location"]
    assert "/httpbin/relative-redirect/1" in below
    assert server.get(below[below.index("/httpbin") :]).headers["location"].endswith("/httpbin/get")


def test_a_folder_and_a_ref_can_be_named(server, git):
    git.commit("mono", {"apps/shop/main.py": ONE_ANSWER % "old"}, tag="v1")
    git.commit("mono", {"apps/shop/main.py": ONE_ANSWER % "new"})
    server.micro("run", git.url("mono") + "/apps/shop@v1")
    assert server.get("/shop/").text == "old"
    server.micro("kill", "shop@v1")
    server.micro("run", git.url("mono") + "/apps/shop")
    assert server.get("/shop/").text == "new"
    server.micro("kill", "shop")


def test_a_tag_with_an_at_runs_as_a_version_of_that_name(server, git):
    git.commit("tagged", {"Procfile": "web: python main.py\n", "main.py": ONE_ANSWER % "tagged"}, tag="@org/pkg@1.2.3")
    server.micro("run", f"{git.url('tagged')}@@org/pkg@1.2.3", timeout_s=300)
    assert server.get("/", host="tagged--micro.localhost").text == "tagged"
    assert "@org/pkg@1.2.3" in server.micro("status", "tagged@@org/pkg@1.2.3").stdout
    assert "tagged" in server.micro("services").stdout
    server.micro("kill", "tagged@@org/pkg@1.2.3")
