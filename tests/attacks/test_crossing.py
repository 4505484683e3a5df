"""Who acts in a namespace that is not their own: admins of the platform's, and nobody through a service there."""

from __future__ import annotations

from pathlib import Path

import pytest
from inside import Inside, deploy
from server import Server

OTHERS = {"namespace": "mallory"}
ACROSS = [
    ("store", "Store.Read", {"key": "a", "options": {"database": "mallory", "table": "crosser"}}),
    ("store", "Store.Write", {"record": {"key": "a", "value": "AA=="}, "options": {"database": "mallory"}}),
    ("store", "Store.Databases", {}),
    ("store", "BlobStore.List", {"options": OTHERS}),
    ("config", "Config.Get", {"namespace": "mallory", "path": "crosser"}),
    ("config", "Config.Set", {"namespace": "mallory", "path": "crosser.a", "value": {"data": "1"}}),
    ("events", "Stream.Publish", {"namespace": "mallory", "topic": "orders", "payload": "AA=="}),
    ("events", "Store.Read", {"namespace": "mallory", "topic": "orders"}),
    ("broker", "Broker.Publish", {"namespace": "mallory", "topic": "orders", "message": {"body": "AA=="}}),
    ("registry", "Registry.ListServices", {"options": {"domain": "mallory"}}),
    ("registry", "Registry.ListServices", {"options": {"domain": "*"}}),
    ("registry", "Registry.Register", {"name": "crosser", "options": {"domain": "mallory"}}),
    ("network", "Network.Routes", {"query": {"network": "mallory"}}),
    ("runtime", "Runtime.Read", {"options": OTHERS}),
    ("runtime", "Runtime.Delete", {"resource": {"service": {"name": "a"}}, "options": OTHERS}),
    ("auth", "Auth.Generate", {"id": "spy", "options": OTHERS}),
    ("auth", "Rules.List", {"options": OTHERS}),
    ("auth", "Namespaces.Create", {"name": "spies"}),
    ("debug", "Debug.Log", {}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crossing")


def test_a_service_of_the_platforms_namespace_crosses_to_no_tenant(attacked: Server, mallory: Server, folder: Path):
    crosser = deploy(attacked, folder, "crosser")
    crosser.refused(*ACROSS)
    names = crosser.call("network", "Network.Services", {})["said"].get("services", [])
    assert "crosser" in names
    found = crosser.call("auth", "Namespaces.List", {})["said"]["namespaces"]
    assert [one["name"] for one in found] == ["micro"]


def test_not_with_every_grant_that_there_is(attacked: Server, mallory: Server, folder: Path):
    words = "accounts blobs broker config events logs network registry rules runtime secrets store variables"
    grants = [flag for word in words.split() for flag in ("--grant", f"{word}.*")]
    granted: Inside = deploy(attacked, folder, "granted", *grants)
    granted.refused(*ACROSS)
    assert "said" in granted.call("config", "Config.Set", {"path": "whole", "value": {"data": '"tree"'}})


def test_an_account_without_scopes_deploys_nothing_into_the_platforms_namespace(attacked: Server, folder: Path):
    attacked.micro("auth", "create", "account", "--secret", "of a guest", "guest")
    guest = attacked.logged_in("micro", "guest", "of a guest", home="guest")
    done = guest.micro("run", folder / "crosser", check=False)
    assert done.returncode != 0
    assert "runtime.deploy" in done.stderr + done.stdout
    assert guest.micro("kill", "crosser", check=False).returncode != 0
    guest_store = {"key": "a", "options": {"database": "mallory"}}
    assert guest.micro("call", "store", "Store.Read", str(guest_store).replace("'", '"'), check=False).returncode != 0
