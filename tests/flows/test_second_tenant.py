"""Two namespaces on one server: same names, nothing in common."""

from __future__ import annotations

import json

import neighbours
import pytest
from server import ROOT, Server

pytestmark = pytest.mark.backends("process", "docker")


@pytest.fixture(scope="module")
def acme(server: Server) -> Server:
    """The server as the owner of the namespace `acme` sees it."""
    return server.user_of("acme", secret="a long secret of acme's")


@pytest.fixture(scope="module", autouse=True)
def greeters(server: Server, acme: Server, tmp_path_factory):
    """A service of the same name in both namespaces, with different answers."""
    folder = tmp_path_factory.mktemp("acme") / "helloworld"
    folder.mkdir()
    example = (ROOT / "examples/helloworld/main.py").read_text()
    (folder / "main.py").write_text(example.replace("Hello ", "Welcome to acme, "))
    server.micro("run", "examples/helloworld")
    acme.micro("run", folder)
    yield
    server.micro("kill", "helloworld", check=False)
    acme.micro("kill", "helloworld", check=False)


def test_each_namespace_calls_its_own_service(server, acme):
    assert json.loads(server.micro("helloworld", "--name=Joe").stdout) == {"msg": "Hello Joe"}
    assert json.loads(acme.micro("helloworld", "--name=Joe").stdout) == {"msg": "Welcome to acme, Joe"}


def test_hosts_and_headers_choose_the_namespace_and_may_not_disagree(server):
    query = "/helloworld?name=Joe"
    assert server.get(query).json() == {"msg": "Hello Joe"}
    assert server.get(query, host="acme.localhost").json() == {"msg": "Welcome to acme, Joe"}
    assert server.get("/helloworld/call?name=Joe", host="helloworld--acme.localhost").status_code in {200, 404}
    other = {"headers": {"Micro-Namespace": "acme"}}
    assert server.get(query, **other).json() == {"msg": "Welcome to acme, Joe"}
    disagreeing = {"Host": f"acme.localhost:{server.api_port}", "Micro-Namespace": "micro"}
    assert server.get(query, headers=disagreeing).status_code == 400


def test_a_tenant_sees_and_touches_only_its_own(server, acme):
    globex = server.user_of("globex", secret="a long secret of globex's")
    acme.micro("run", "examples/web")
    try:
        assert "web" not in globex.micro("status").stdout
        assert "web" not in globex.micro("services").stdout
        assert globex.micro("kill", "web", check=False).returncode == 127
        assert globex.micro("logs", "web", check=False).returncode != 0
        for service, endpoint, request in [
            ("runtime", "Runtime.Read", {"options": {"namespace": "acme"}}),
            ("runtime", "Runtime.Delete", {"resource": {"service": {"name": "web"}}, "options": {"namespace": "acme"}}),
            ("runtime", "Runtime.Logs", {"service": "web", "options": {"namespace": "acme"}}),
            ("registry", "Registry.GetService", {"service": "web", "options": {"domain": "acme"}}),
            ("registry", "Registry.ListServices", {"options": {"domain": "*"}}),
            ("auth", "Auth.Generate", {"id": "spy", "options": {"namespace": "acme"}}),
        ]:
            refused = globex.micro("call", service, endpoint, json.dumps(request), check=False)
            assert refused.returncode != 0, endpoint
            assert "denied" in refused.stderr.lower(), refused.stderr
        assert acme.status("web") == "running"
    finally:
        acme.micro("kill", "web")


def test_killing_ones_own_leaves_the_namesake_alone(server, acme):
    acme.micro("kill", "helloworld")
    assert json.loads(server.micro("helloworld", "--name=Joe").stdout) == {"msg": "Hello Joe"}


def test_services_call_each_other_by_name_under_their_own_accounts_and_strangers_do_not(server, tmp_path):
    neighbours.call_each_other(server, tmp_path)
