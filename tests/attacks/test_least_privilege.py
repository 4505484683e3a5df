"""What a service can do with its own credentials: use what is its own, and change nothing that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from inside import Inside, deploy
from server import Server, eventually

SECRET = "a long secret of lee's"


@pytest.fixture(scope="module")
def lee(attacked: Server) -> Server:
    """The owner of a namespace with two services."""
    owner = attacked.user_of("lee", secret=SECRET)
    owner.micro("config", "set", "shared", "for people")
    owner.micro("store", "write", "mine", "the owner's")
    return owner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inside")


@pytest.fixture(scope="module")
def vault(lee: Server, folder: Path) -> Inside:
    """A service that has something in every store."""
    made = deploy(lee, folder, "vault", "--secrets", "PASSWORD=hush", "--env_vars", "PLAIN=text")
    filled = made.run("""
        from micro import blob, config, store
        store.write("key", "mine")
        blob.write("vault/blob", b"mine")
        config.set("vault.open", "mine")
        config.set("vault.password", "hush", is_secret=True)
        said = [store.read("key", str), config.get("vault.open"), config.get("vault.password", is_secret=True)]
    """)
    assert filled == {"said": ["mine", "mine", "hush"]}
    return made


@pytest.fixture(scope="module")
def thief(lee: Server, vault: Inside, folder: Path) -> Inside:
    """Its neighbour, without grants."""
    return deploy(lee, folder, "thief")


NAMED = {"service": {"name": "vault", "version": "latest"}}
CHANGES = [
    ("runtime", "Runtime.Delete", {"resource": NAMED}),
    ("runtime", "Runtime.Update", {"resource": NAMED}),
    ("runtime", "Runtime.Create", {"resource": {"service": {"name": "more", "source": "github.com/a/b"}}}),
    ("runtime", "Runtime.Cancel", {"resource": NAMED}),
    ("runtime", "Deployments.Redeploy", {"service": "vault"}),
    ("runtime", "Variables.Set", {"service": "vault", "plain": {"A": "b"}}),
    ("auth", "Auth.Generate", {"id": "backdoor", "secret": "of a thief"}),
    ("auth", "Auth.Generate", {"id": "backdoor", "secret": "of a thief", "scopes": ["service"]}),
    ("auth", "Accounts.Delete", {"id": "owner"}),
    ("auth", "Accounts.ChangeSecret", {"id": "owner", "newSecret": "mine now"}),
    ("auth", "Rules.Create", {"rule": {"id": "all", "resource": {"type": "*", "name": "*", "endpoint": "*"}}}),
    ("auth", "Rules.Delete", {"id": "default"}),
    ("auth", "ApiTokens.Create", {"name": "mine"}),
    ("auth", "Namespaces.Create", {"name": "more"}),
    ("events", "Groups.Delete", {"topic": "orders", "name": "vault"}),
    ("events", "DeadLetters.Delete", {"topic": "orders"}),
    ("registry", "Registry.Register", {"name": "vault", "nodes": [{"id": "vault-x", "address": "127.0.0.1:1"}]}),
    ("registry", "Registry.Deregister", {"name": "vault", "nodes": [{"id": "vault-x"}]}),
    ("registry", "Registry.Deregister", {"nodes": [{"id": "vault-x"}]}),
]  # fmt: skip
DATA = [
    ("runtime", "Variables.List", {"service": "vault"}),
    ("runtime", "Deployments.List", {}),
    ("auth", "Accounts.List", {}),
    ("store", "Store.Read", {"key": "key", "options": {"table": "vault"}}),
    ("store", "Store.Read", {"key": "", "options": {"table": "vault", "prefix": True}}),
    ("store", "Store.Read", {"key": "mine"}),
    ("store", "Store.Write", {"record": {"key": "key", "value": "AA=="}, "options": {"table": "vault"}}),
    ("store", "Store.Delete", {"key": "key", "options": {"table": "vault"}}),
    ("store", "Store.Delete", {"key": "mine"}),
    ("store", "BlobStore.Delete", {"key": "vault/blob"}),
    ("config", "Config.Get", {"path": "vault.open"}),
    ("config", "Config.Get", {"path": "vault.password", "options": {"secret": True}}),
    ("config", "Config.Get", {"path": ""}),
    ("config", "Config.Get", {"path": ".vault"}),
    ("config", "Config.Read", {"path": "shared"}),
    ("config", "Revisions.List", {"path": "vault"}),
    ("config", "Config.Set", {"path": "shared", "value": {"data": '"mine"'}}),
    ("config", "Config.Set", {"path": "", "value": {"data": '{"vault": {"open": "mine"}}'}}),
    ("config", "Config.Set", {"path": "thieves", "value": {"data": "1"}}),
    ("config", "Config.Delete", {"path": "vault"}),
    ("config", "Config.Delete", {"path": ""}),
]


def test_a_service_changes_nothing_that_runs_no_account_and_no_rule(thief: Inside):
    for (_, endpoint, _), said in zip(CHANGES, thief.refused(*CHANGES), strict=True):
        is_operators = endpoint == "Namespaces.Create"
        assert ("Only admins of the namespace micro" if is_operators else "the service thief does not have") in said


def test_a_service_reads_and_changes_no_data_of_another_and_hears_which_grant_would_do(thief: Inside, lee: Server):
    refusals = thief.refused(*DATA)
    for (_, endpoint, _), said in zip(DATA, refusals, strict=True):
        assert "ask for it with micro run --grant" in said, endpoint
    assert refusals[3].endswith("the service thief does not have: ask for it with micro run --grant store.read.")
    read = thief.run('from micro import blob\nsaid = blob.read("vault/blob").decode()')
    write = thief.run('from micro import blob\nblob.write("vault/blob", b"theirs")')
    listed = thief.run("from micro import blob, store\nsaid = [[one.key for one in blob.blobs()], store.tables()]")
    assert "blobs.read" in str(read)
    assert "blobs.write" in str(write)
    assert listed == {"said": [[], []]}
    assert lee.micro("store", "read", "mine").stdout == "the owner's\n"


def test_a_service_uses_what_is_its_own(thief: Inside):
    own = thief.run("""
        from micro import blob, config, events, store
        store.write("key", "theirs")
        blob.write("some/key", b"theirs")
        config.set("thief.a", "b")
        config.set("thief.secret", "own", is_secret=True)
        events.publish("orders", {"number": 1})
        said = [store.read("key", str), blob.read("some/key").decode(), config.get("thief.a"), store.tables(),
                config.get("thief.secret", is_secret=True), [one.key for one in blob.blobs()]]
        blob.delete("some/key")
        store.delete("key")
    """)
    assert own == {"said": ["theirs", "theirs", "b", ["thief"], "own", ["some/key"]]}


def test_what_a_service_is_refused_it_does_not_get_over_rest_either(attacked: Server, thief: Inside):
    said = thief.run(f"""
        import json, urllib.error, urllib.request
        from micro import Client
        sent = {{"Authorization": "Bearer " + Client().access_token(), "Content-Type": "application/json"}}
        said = []
        for method, path, body in (
            ("GET", "/services", None), ("DELETE", "/services/vault", None), ("GET", "/services/vault/logs", None),
            ("POST", "/deployments", {{"service": "x", "source": "github.com/a/b"}}), ("GET", "/api-tokens", None),
            ("POST", "/api-tokens", {{"name": "x"}}), ("POST", "/namespaces", {{"name": "x"}}),
        ):
            data = None if body is None else json.dumps(body).encode()
            url = "http://127.0.0.1:{attacked.web_port}/v1" + path
            request = urllib.request.Request(url, data, sent, method=method)
            try:
                said.append(urllib.request.urlopen(request).status)
            except urllib.error.HTTPError as error:
                said.append(error.code)
    """)
    assert said == {"said": [403] * 7}


def test_a_token_of_a_service_is_short_lived_whatever_it_asks_for(thief: Inside):
    said = thief.run("""
        import os
        from micro import Client
        request = {"id": os.environ["MICRO_AUTH_ID"], "secret": os.environ["MICRO_AUTH_SECRET"],
                   "token_expiry": 86400, "options": {"namespace": os.environ["MICRO_NAMESPACE"]}}
        token = Client().call("auth", "Auth.Token", request)["token"]
        said = int(token["expiry"]) - int(token["created"])
    """)
    assert said["said"] <= 15 * 60


def test_a_grant_gives_what_it_names_and_no_more_and_is_shown(lee: Server, thief: Inside, folder: Path):
    robot = deploy(lee, folder, "robot", "--grant", "store.read", "--grant", "runtime.deploy")
    table = {"key": "key", "options": {"table": "vault"}}
    assert "records" in robot.call("store", "Store.Read", table)["said"]
    refused = robot.refused(
        ("store", "Store.Delete", table),
        ("auth", "Auth.Generate", {"id": "backdoor"}),
        ("config", "Config.Get", {"path": "shared"}),
    )
    assert [said.split()[4] for said in refused] == ["store.write,", "accounts.write,", "config.read,"]
    assert "grants=runtime.deploy store.read" in lee.micro("status", "robot").stdout
    options = {"grants": ["store.read"]}  # what it holds, it may give; of powers only an admin gives
    with_power = {"resource": NAMED, "options": {"grants": ["runtime.deploy"]}}
    with_more = {"resource": NAMED, "options": {"grants": ["secrets.read"]}}
    power, more = robot.refused(("runtime", "Runtime.Update", with_power), ("runtime", "Runtime.Update", with_more))
    assert "takes an admin" in power
    assert "takes somebody who has it" in more
    assert robot.call("runtime", "Runtime.Update", {"resource": NAMED, "options": options}) == {"said": {}}
    thief_too = {"resource": {"service": {"name": "thief", "version": "latest"}}}
    assert robot.call("runtime", "Runtime.Delete", thief_too) == {"said": {}}
    eventually(lambda: not lee.status("thief"), 20, "the granted service has killed the other")
    lee.micro("update", "robot", "--grant", "none", timeout_s=300)
    assert "runtime.deploy" in robot.refused(("runtime", "Runtime.Delete", {"resource": NAMED}))[0]
    assert "grants=" not in lee.micro("status", "robot").stdout


def test_what_is_no_grant_is_refused_with_those_that_there_are(lee: Server, folder: Path):
    for word in ("admin", "*", "service", "service:vault", "platform.operate", "tokens.write", "store"):
        done = lee.micro("run", folder / "vault", "--name", "other", "--grant", word, check=False)
        assert done.returncode != 0
        assert "There is no grant" in done.stderr, word


def test_accounts_that_a_service_makes_by_a_grant_go_with_it_and_so_do_those_that_they_make(lee: Server, folder: Path):
    maker = deploy(lee, folder, "maker", "--grant", "accounts.write")
    made = {"id": "child", "secret": "of a child", "scopes": ["accounts.write"]}
    assert "said" in maker.call("auth", "Auth.Generate", made)
    child = lee.logged_in("lee", "child", "of a child", home="child")
    child.micro("auth", "create", "account", "grandchild")
    assert {"child", "grandchild"} <= set(lee.micro("auth", "list", "accounts").stdout.split())
    lee.micro("kill", "maker")
    assert not {"child", "grandchild", "maker-latest-1"} & set(lee.micro("auth", "list", "accounts").stdout.split())
    assert child.micro("auth", "create", "account", "orphan", check=False).returncode != 0, "its token still is good"


def test_an_account_without_scopes_calls_and_reads_but_deploys_kills_deletes_and_reads_no_secret(
    lee: Server, vault: Inside
):
    lee.micro("auth", "create", "account", "--secret", "of a clerk", "clerk")
    clerk = lee.logged_in("lee", "clerk", "of a clerk", home="clerk")
    assert clerk.call("vault", "Inside.SetStatus", {})["said"] == "set"
    assert clerk.micro("store", "read", "mine").stdout == "the owner's\n"
    assert clerk.micro("config", "get", "shared").stdout == "for people\n"
    assert "vault" in clerk.micro("status").stdout
    refused = [
        ("kill", "vault"), ("run", "github.com/a/b"), ("store", "delete", "mine"), ("store", "write", "mine", "x"),
        ("store", "read", "--table", "vault", "key"), ("config", "get", "--secret", "vault.password"),
        ("config", "set", "shared", "x"), ("auth", "create", "account", "other"), ("auth", "list", "accounts"),
        ("auth", "delete", "account", "owner"), ("auth", "create", "rule", "--resource=service:*:*", "r"),
        ("vars", "list", "vault"), ("logs", "vault"), ("redeploy", "vault"),
    ]  # fmt: skip
    for args in refused:
        done = clerk.micro(*args, check=False)
        assert done.returncode != 0, args
        assert "permission" in done.stderr + done.stdout, (args, done.stderr)
    lee.micro("auth", "create", "account", "--secret", "of a writer", "--scopes", "store.*", "writer")
    writer = lee.logged_in("lee", "writer", "of a writer", home="writer")
    writer.micro("store", "write", "theirs", "x")
    assert writer.micro("kill", "vault", check=False).returncode != 0
