"""Micro 3's own command line, Go framework and generated clients, unmodified, against this server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from micro3.build import build
from server import ROOT, Server, eventually

HTTP = 'package main\nimport "net/http"; import "os"\nfunc main() { http.ListenAndServe(":"+os.Getenv("PORT"), nil) }\n'


# Micro 3 asks the user database for its home, and believes $HOME for a user that is not in there.
NOBODY_KNOWN = ["unshare", "--user", "--map-user=54321"]


class Micro3:
    """The original command line, as a user with a home of their own."""

    def __init__(self, binaries: Path, server: Server, home: Path) -> None:
        self.binaries, self.server = binaries, server
        go = {name: os.environ[name] for name in os.environ if name.startswith("GO")}
        cache = {"GOCACHE": str(home / "go-build"), "GOMODCACHE": str(home / "go-mod")}
        self.env = {**server.client_env, **cache, **go, "HOME": str(home), "USER": "micro3"}
        home.mkdir()

    def run(self, *args: str | Path, cwd: Path = ROOT) -> tuple[int, str]:
        """Its status, and all that it printed."""
        done = subprocess.run(
            [*NOBODY_KNOWN, self.binaries / "micro", *map(str, args)],
            check=False, cwd=cwd, env=self.env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def __call__(self, *args: str | Path, cwd: Path = ROOT) -> str:
        status, printed = self.run(*args, cwd=cwd)
        assert status == 0, f"micro {' '.join(map(str, args))} ended with {status}:\n{printed}"
        return printed


@pytest.fixture(scope="module")
def binaries() -> Path:
    return build()


@pytest.fixture(scope="module")
def micro3(binaries, server, tmp_path_factory) -> Micro3:
    """Logged in as the owner of the namespace go."""
    made = Micro3(binaries, server, tmp_path_factory.mktemp("micro3") / "home")
    assert made("login", "--username", "admin", "--password", "micro") == "Successfully logged in.\n"
    made("auth", "create", "account", "--namespace", "go", "--scopes", "admin", "--secret", "s3cret", "owner")
    made("user", "namespace", "set", "go")
    made("login", "--username", "owner", "--password", "s3cret")
    return made


@pytest.fixture(scope="module")
def source(binaries, tmp_path_factory) -> Path:
    """The folder of a service on Micro 3's Go framework."""
    folder = tmp_path_factory.mktemp("source") / "greeter"
    folder.mkdir()
    shutil.copy(binaries / "greeter", folder)
    (folder / "Procfile").write_text("grpc: ./greeter\n")
    return folder


@pytest.fixture(scope="module")
def greeter(micro3, server, source) -> Server:
    """That service, which the platform runs in the namespace go."""
    owner = server.user_of("go2", "unused")
    owner.micro("user", "namespace", "set", "go")
    owner.micro("login", "--username", "owner", "--password", "s3cret")
    owner.micro("run", source, "--grant", "config.read")  # its greeting is at the top of the tree
    yield owner
    owner.micro("kill", "greeter")


def test_it_logs_in_and_says_who_one_is(micro3):
    assert micro3("user") == "owner\n"
    assert micro3("user", "namespace") == "go\n"
    assert micro3("user", "token").count(".") == 2
    assert micro3.run("login", "--username", "owner", "--password", "wrong") == (1, "Secret not correct\n")
    assert micro3("login", "--username", "owner", "--password", "s3cret") == "Successfully logged in.\n"


def test_it_makes_accounts_tokens_and_rules(micro3):
    made = micro3("auth", "create", "account", "--secret", "one", "--scopes", "a", "--scopes", "b", "bot")
    account = json.loads(made.removeprefix("Account created: "))
    assert (account["id"], account["issuer"], account["scopes"], account["secret"]) == ("bot", "go", ["a", "b"], "one")
    assert micro3("auth", "list", "accounts").splitlines()[1] == "bot\t\tbot\t\ta, b\t\tn/a"
    assert "access_token" in micro3("auth", "create", "token", "--id", "bot", "--secret", "one")
    assert (
        micro3("auth", "update", "secret", "--old_secret", "one", "--new_secret", "two", "bot") == "Account updated\n"
    )
    assert micro3("auth", "delete", "account", "bot") == ""
    rule = ["auth", "create", "rule", "--scope", "a", "--resource", "service:vault:Vault.Open", "--priority", "5", "r1"]
    assert micro3(*rule) == "Rule created\n"
    assert micro3.run(*rule) == (1, "Error: A rule with this ID already exists\n")
    assert re.search(r"r1\t+a\t+GRANTED\t+service:vault:Vault.Open\t+5\n", micro3("auth", "list", "rules"))
    assert micro3("auth", "delete", "rule", "r1") == "Rule deleted\n"


def test_it_configures(micro3):
    assert micro3.run("config", "get", "shop") == (127, "Not found\n")
    assert micro3("config", "set", "shop", '{"open": true, "name": "Bern"}') == ""
    assert micro3("config", "set", "--secret", "shop.key", "hush") == ""
    assert micro3("config", "get", "shop") == '{"key":"[secret]","name":"Bern","open":true}\n'
    assert micro3("config", "get", "--secret", "shop.key") == "hush\n"
    assert micro3("config", "del", "shop.open") == ""
    assert micro3.run("config", "get", "shop.open") == (1, "Not found\n")
    assert micro3("config", "get", "--all") == '{"shop":{"key":"[secret]","name":"Bern"}}\n'


def test_it_stores(micro3):
    assert micro3("store", "write", "a/b", "x", "y") == ""
    micro3("store", "write", "-e", "10m", "a/bc", "leased")
    assert micro3("store", "read", "a/b") == "x y\n"
    assert micro3("store", "read", "-p", "a/") == "x y\nleased\n"
    assert "minutes from now" in micro3("store", "read", "-v", "a/bc")
    assert micro3("store", "list", "-l", "1") == "a/b\n"
    assert micro3("store", "tables") == "micro\n"
    micro3("store", "delete", "a/b")
    assert micro3.run("store", "read", "a/b") == (1, "Not found\n")


def test_it_asks_the_platforms_services(micro3):
    assert micro3.run("call", "nobody", "Nobody.Call") == (4, 'Service "nobody" not found\n')
    assert micro3("network", "services").split() == []
    # Envoy answers no path that does not begin with a slash; but it ends that call alone, not its whole connection.
    assert "RST_STREAM" in micro3.run("call", "store", "List")[1]
    assert json.loads(micro3("registry", "listServices", "--options-domain=micro"))["services"]


def test_a_service_on_its_framework_runs_and_is_called(micro3, greeter):
    assert micro3("services") == "greeter\n"
    assert json.loads(micro3("call", "greeter", "Greeter.Call", '{"name": "Joe"}')) == {"msg": "Hello Joe, says owner"}
    assert micro3("store", "read", "-t", "greeter", "last") == "Joe\n"
    assert greeter.micro("events", "read", "greeted").stdout == '{"name":"Joe"}\n'
    micro3("config", "set", "greeting", "Howdy")
    assert "--name string" in micro3("greeter", "call", "--help")
    assert json.loads(micro3("greeter", "call", "--name=Jane"))["msg"] == "Howdy Jane, says owner"
    assert json.loads(greeter.micro("greeter", "call", "--name=Al").stdout)["msg"] == "Howdy Al, says owner"
    assert greeter.call("greeter", "Greeter.Call", {"name": "Al"})["msg"] == "Howdy Al, says owner"
    assert greeter.get("/greeter?name=Bo", headers={"Micro-Namespace": "go"}).json()["msg"] == "Howdy Bo, says nobody"
    assert "greeted Jane" in micro3("logs", "greeter")
    assert micro3("debug", "health", "greeter").rstrip().splitlines()[-1].endswith("ok")
    assert len(micro3("debug", "health", "greeter").rstrip().splitlines()) == 6, "what announced itself is one node"


def test_a_rule_is_kept_by_a_service_on_its_framework_and_by_the_gateway(micro3, greeter):
    micro3("auth", "create", "rule", "--scope", "staff", "--resource", "service:greeter:*", "--priority", "9", "staff")
    micro3("auth", "create", "rule", "--access", "denied", "--resource", "service:greeter:*", "--priority", "8", "else")

    def is_refused() -> bool:
        return micro3.run("call", "greeter", "Greeter.Call", "{}")[0] != 0

    eventually(is_refused, 10, "the rule acts")
    for rule in ("staff", "else"):
        micro3("auth", "delete", "rule", rule)
    eventually(lambda: not is_refused(), 60, "the rule is gone, from the framework's own cache too")


def test_a_folder_runs_and_is_listed_and_killed(micro3, tmp_path):
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "go.mod").write_text("module web\n\ngo 1.20\n")
    (folder / "main.go").write_text(HTTP)
    assert micro3("run", ".", cwd=folder) == ""

    def status() -> str:
        return next((line.split("\t")[3] for line in micro3("status").splitlines() if line.startswith("web\t")), "")

    eventually(lambda: status() == "running", 120, f"it runs: {status()}")
    assert re.search(r"owner=owner, group=go", micro3("status", "web"))
    micro3("update", ".", cwd=folder)
    assert micro3("kill", "web") == ""
    eventually(lambda: not status(), 30, "it is gone")
    assert micro3.run("kill", "web") == (127, "not found\n")


def test_everything_of_its_go_libraries_works(micro3, server, greeter, binaries):
    identity = {"MICRO_NAMESPACE": "go", "MICRO_AUTH_ID": "owner", "MICRO_AUTH_SECRET": "s3cret"}
    where = {"MICRO_PROXY": f"127.0.0.1:{server.network_port}", "MICRO_SERVICE_NAME": "prober"}
    done = subprocess.run(
        [*NOBODY_KNOWN, binaries / "client"],
        check=False, env={**micro3.env, **identity, **where}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    came = {line.pop("step"): line.get("error") or line["got"] for line in map(json.loads, done.stdout.splitlines())}
    denied = came.pop("store of another namespace")
    assert json.loads(denied)["code"] == 403
    assert came == {
        "store": {
            "value": "one", "metadata": {"color": {"type": "string", "value": "red"}}, "bytes": "AP8=", "leased": True,
            "last below a/": "a/bc", "below a/": 1, "keys": ["a/b", "a/bc"], "missing": True,
            "tables": ["greeter", "micro", "prober"],
        },
        "model": [{"id": "3", "city": "Basel"}],
        "blob": {"whole": True, "keys": ["pictures/1"], "missing": True},
        "config": {"masked": "[secret]", "secret": "hush", "gone": "nothing", "seats": 12, "wait": "1m30s"},
        "events acknowledged": {"handled": [1, 3, 2], "refused": [2]},
        "events replayed": [1, 2, 3],
        "events stored": [f'{{"number":{number}}} by go' for number in (1, 2, 3)],
        "broker": {"heard": "en hello", "more": 0},
        "accounts": {
            "made": "robot", "secret": "s3cret", "issuer": "go", "scopes": ["a", "b"], "type": "service",
            "ids": ["greeter-latest-1", "owner", "robot"], "wrong": "Secret not correct",
        },
        "rules": {"ids": ["default", "else", "only"], "refused": True, "allowed": True},
        "registry": {
            "changes": ["create outside", "delete outside"], "address": "127.0.0.1:1", "names": ["greeter", "outside"],
            "field": "name", "missing": True,
        },
        "router": ["greeter", "go", "local", 1],
        "network": ["greeter"],
        "debug": dict.fromkeys(
            ["auth", "broker", "config", "events", "network", "registry", "router", "runtime", "store"], "ok"
        ),
        "runtime": ["greeter running"],
        "call": {"msg": "Howdy Go, says owner"},
        "call of nobody": [404, "service nobody: route not found"],
    }  # fmt: skip


def test_what_registers_itself_is_deployed_again_and_after_a_kill_at_once(greeter, source):
    greeter.micro("run", source, "--grant", "config.read")
    for _ in range(2):
        greeter.micro("kill", "greeter")
        greeter.micro("run", source, "--grant", "config.read")
    assert greeter.call("greeter", "Greeter.Call", {"name": "Al"})["msg"].endswith(" Al, says owner")
