"""`micro auth`, `micro user set password` and `micro network` as a user types them, against a real sidecar."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta

import pytest

from micro import auth, errors
from micro.cli.main import run
from micro.client import Client

pytestmark = pytest.mark.django_db  # so that there is a database; what the sidecar sees is committed


@pytest.fixture
def micro(platform, tmp_path, monkeypatch, capfd):
    """Runs a command line as joe of shop, who has logged in; its exit code, stdout and stderr."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MICRO_PROXY", platform.address)
    monkeypatch.setenv("MICRO_NAMESPACE", "shop")

    def micro(*args: str, stdin: str = "") -> tuple[int, str, str]:
        capfd.readouterr()
        monkeypatch.setattr("sys.stdin", __import__("io").StringIO(stdin))
        code = run(list(args))
        out, err = capfd.readouterr()
        return code, out, err

    assert micro("login", "--username=joe", "--password=joe-secret")[0] == 0
    return micro


def test_rules_are_made_listed_and_deleted(micro):
    assert micro("auth", "list", "rules") == (
        0,
        "ID\t\tScope\t\t\tAccess\t\tResource\t\tPriority\n"
        "default\t\t<public>\t\tGRANTED\t\t*:*:*\t\t\t0\n",
        "",
    )  # fmt: skip
    create = ["auth", "create", "rule", "--resource=service:shop:/admin/*"]
    assert micro(*create, "-scope", "*", "-priority=2", "staff") == (0, "Rule created\n", "")
    assert micro(*create, "--access", "denied", "--priority=1", "nobody")[:2] == (0, "Rule created\n")
    rows = [line.split() for line in micro("auth", "list", "rules")[1].splitlines()[1:]]
    assert rows == [
        ["staff", "*", "GRANTED", "service:shop:/admin/*", "2"],
        ["nobody", "<public>", "DENIED", "service:shop:/admin/*", "1"],
        ["default", "<public>", "GRANTED", "*:*:*", "0"],
    ]
    for id in ("staff", "nobody", "nobody"):
        assert micro("auth", "delete", "rule", id) == (0, "Rule deleted\n", "")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["create", "rule"], "Missing argument: ID"),
        (["create", "rule", "a", "b"], "Too many arguments, expected one argument: ID"),
        (["create", "rule", "--access=maybe", "a"], "Invalid access: maybe, must be granted or denied"),
        (["create", "rule", "--resource=a:b", "a"], "Invalid resource, must be in the format type:name:endpoint"),
        (["create", "rule", "default"], "Error: A rule with this ID already exists"),
        (["delete", "rule"], "Expected one argument: ID"),
        (["delete", "account"], "Missing argument: ID"),
        (["delete", "account", "a", "b"], "Expected one argument: ID"),
        (["create", "account"], "Missing argument: ID"),
        (["create", "token"], "Missing account ID"),
        (["create", "token", "--id=joe"], "Enter its secret: "),
        (["create", "token", "--id=who", "--secret=x"], "Error creating token: Account not found with this ID"),
        (["update", "secret"], "Missing argument: ID"),
        (["update", "secret", "joe"], "Enter a new password: "),
        (["create", "account", "joe"], "Error creating account: Account with this ID already exists"),
        (["create", "account", "--namespace=rival", "x"], "Error creating account: access denied to namespace"),
        (["delete", "account", "joe"], "Error deleting account: Can't delete your own account"),
        (["delete", "account", "who"], "Error deleting account: Account not found with this ID"),
        (["delete", "thing"], "Unrecognized subcommand for micro auth delete: thing"),
    ],
)
def test_what_cannot_be_is_said_on_stderr(micro, args, text):
    code, out, err = micro("auth", *args)
    assert (code, out) == (1, "")
    assert err.startswith(text)


def test_accounts_are_made_listed_and_deleted(micro):
    code, out, _ = micro("auth", "create", "account", "--scopes", "basic", "--scopes=other", "bot")
    assert code == 0
    made = json.loads(out.removeprefix("Account created: "))
    assert f'"secret":"{made["secret"]}","name":"bot"}}' in out
    assert list(made) == ["id", "type", "issuer", "metadata", "scopes", "secret", "name"]
    assert (made["id"], made["issuer"], made["scopes"]) == ("bot", "shop", ["basic", "other"])
    assert len(made["secret"]) > 30
    rows = [line.split("\t") for line in micro("auth", "list", "accounts")[1].splitlines()]
    assert [[cell for cell in row if cell] for row in rows] == [
        ["ID", "Name", "Scopes", "Metadata"], ["bot", "bot", "basic, other", "n/a"], ["joe", "joe", "admin", "n/a"],
    ]  # fmt: skip
    assert micro("auth", "delete", "account", "bot") == (0, "", "")


def test_a_secret_is_exchanged_for_a_token_and_changed(micro):
    micro("auth", "create", "account", "--secret=one", "--type=service", "bot")
    code, out, _ = micro("auth", "create", "token", "--id=bot", "--secret=one", "--expiry=60")
    token = json.loads(out.removeprefix("Token created: "))
    life = datetime.fromisoformat(token["expiry"]) - datetime.fromisoformat(token["created"])
    assert (code, life) == (0, timedelta(seconds=60))
    assert micro("auth", "update", "secret", "--old_secret=one", "--new_secret=two", "bot") == (
        0, "Account updated\n", "",
    )  # fmt: skip
    token = json.loads(
        micro("auth", "create", "token", "--id=bot", "--secret=two", f"--expiry={'9' * 400}", "-o=json")[1]
    )
    assert token["access_token"], "and good for no more than a day"
    wrong = micro("auth", "create", "token", "--id=bot", "--secret=one")
    assert wrong == (1, "", "Error creating token: Secret not correct\n")
    micro("auth", "delete", "account", "bot")


def test_who_is_not_logged_in_is_told_to(micro):
    micro("logout")
    update = ["update", "secret", "--old_secret=a", "--new_secret=b", "joe"]
    for args in (["list", "rules"], ["list", "accounts"], ["delete", "rule", "x"], update):
        code, out, err = micro("auth", *args)
        assert (code, out) == (2, "")
        assert "Log in with `micro login`" in err


def test_a_password_is_set_and_the_login_goes_on(micro):
    try:
        assert micro("user", "set", "password", "--old-password=wrong", "--new-password=x") == (
            1, "", "Secret not correct\n",
        )  # fmt: skip
        assert micro("user", "set", "password", stdin="joe-secret\nnew one\nnew two\n")[::2] == (
            1, "Enter current password: \nEnter a new password: \nVerify your password: \n"
            "Passwords do not match. Please try again.\n",
        )  # fmt: skip
        assert micro("user", "set", "password", stdin="joe-secret\nnew one\nnew one\n")[:2] == (0, "")
        assert micro("user")[:2] == (0, "joe\n")
        assert micro("login", "--username=joe", "--password=joe-secret")[0] == 1
        assert micro("login", "--username=joe", "--password=new one")[0] == 0
    finally:
        micro("user", "set", "password", "--old_password=new one", "--new_password=joe-secret")


def test_the_network_is_shown(micro, settings):
    host, port = settings.MICRO_NETWORK_ADDRESS
    assert micro("network", "nodes")[1].splitlines() == [
        "+-------+----------------+",
        "|  ID   |    ADDRESS     |",
        "+-------+----------------+",
        f"| envoy | {host}:{port} |",
        "+-------+----------------+",
    ]
    assert "SERVICE" in micro("network", "routes")[1]
    assert micro("network", "routes", "--output=json")[1] == "[]\n"
    assert micro("network", "services")[:2] == (0, "")
    assert "NODE" in micro("network", "connections")[1]
    assert json.loads(micro("network", "graph")[1])["node"]["id"] == "envoy"
    code, _, err = micro("network", "connect", "10.0.0.1:8085")
    assert code == 127
    assert "Nodes do not join by a call here" in err
    assert micro("network", "routes", "--network=rival")[::2] == (127, "access denied to namespace\n")


@pytest.fixture
def client(micro):
    made = Client(namespace="shop")
    yield made
    made.close()


def test_python_programs_manage_rules(client):
    rule = auth.Rule("staff", scope="*", name="shop", endpoint="/admin/*", granted=False, priority=-3)
    auth.create_rule(rule, client=client)
    assert auth.rules(client=client) == [auth.Rule("default", type="*"), rule]
    with pytest.raises(errors.AlreadyExists):
        auth.create_rule(rule, client=client)
    auth.delete_rule("staff", client=client)
    assert asyncio.run(auth.arules(client=client)) == [auth.Rule("default", type="*")]


def test_python_programs_manage_accounts(client):
    made, secret = auth.generate("bot", name="Robot", scopes=["a"], metadata={"k": "v"}, client=client)
    assert made == auth.Account("bot", "account", "shop", "Robot", ("a",), {"k": "v"})
    token = auth.token(id="Robot", secret=secret, client=client)
    assert auth.inspect(token.access_token, client=client) == made
    assert auth.refresh(token.refresh_token, client=client).access_token
    assert made in auth.accounts(client=client)
    auth.change_secret("bot", new="chosen", client=client)
    with pytest.raises(errors.InvalidArgument, match="invalid token provided"):
        auth.refresh(token.refresh_token, client=client)
    auth.delete("bot", client=client)
    with pytest.raises(errors.InvalidArgument, match="Account not found"):
        auth.token(id="bot", secret="chosen", client=client)
