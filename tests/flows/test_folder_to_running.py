"""A folder becomes a running service that answers over HTTP and gRPC."""

from __future__ import annotations

import json

import pytest
from server import Server, eventually

pytestmark = pytest.mark.backends("process", "docker")


@pytest.fixture(scope="module", autouse=True)
def helloworld(server: Server):
    server.micro("run", "examples/helloworld")
    yield
    server.micro("kill", "helloworld")


def test_run_says_nothing_on_stdout_and_status_says_running(server):
    assert server.micro("run", "examples/helloworld").stdout == ""
    assert server.status("helloworld") == "running"


def test_the_service_is_a_command_of_the_command_line(server):
    assert json.loads(server.micro("helloworld", "--name=Joe").stdout) == {"msg": "Hello Joe"}
    assert json.loads(server.micro("helloworld", "call", "--name", "Joe").stdout) == {"msg": "Hello Joe"}
    assert "--name string" in server.micro("helloworld", "call", "--help").stdout


def test_micro_call_takes_json(server):
    answer = server.micro("call", "helloworld", "Helloworld.Call", '{"name": "Joe"}')
    assert json.loads(answer.stdout) == {"msg": "Hello Joe"}


@pytest.mark.parametrize(
    "path", ["/helloworld?name=Joe", "/helloworld/call?name=Joe", "/helloworld/Helloworld/Call?name=Joe"]
)
def test_the_gateway_answers_get_with_a_query(server, path):
    answer = server.get(path)
    assert (answer.status_code, answer.json()) == (200, {"msg": "Hello Joe"})


def test_the_service_is_listed_once(server):
    assert server.micro("services").stdout.split().count("helloworld") == 1


def test_the_run_log_and_the_build_log_can_be_read(server):
    server.micro("helloworld", "--name=Joe")
    assert "python" in server.micro("logs", "--build", "helloworld").stdout.lower()
    assert server.micro("logs", "helloworld").returncode == 0


def test_an_unknown_service_and_an_unknown_method_are_named(server):
    unknown = server.micro("call", "nosuch", "Nosuch.Call", "{}", check=False)
    assert unknown.returncode in {4, 5}
    assert '"nosuch" not found' in unknown.stderr
    method = server.micro("call", "helloworld", "Helloworld.Nosuch", "{}", check=False)
    assert method.returncode == 5
    assert "not found" in method.stderr
    malformed = server.micro("call", "helloworld", "nosuch", "{}", check=False)
    assert malformed.returncode == 3
    assert server.get("/nosuch").status_code == 404


def test_a_plain_http_service_answers_on_its_own_host_and_under_its_name(server):
    server.micro("run", "examples/web")
    own = server.get("/", host="web--micro.localhost")
    below = server.get("/web/")
    assert own.status_code == below.status_code == 200
    assert own.text == below.text
    server.micro("kill", "web")
    eventually(lambda: server.get("/web/").status_code == 404, 5, "the killed service is gone from the gateway")
