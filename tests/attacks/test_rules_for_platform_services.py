"""What a namespace's admin forbids in the namespace: calls of its own services, and of the platform's."""

from __future__ import annotations

from pathlib import Path

import pytest
from inside import Inside, deploy
from server import Server, eventually


@pytest.fixture(scope="module")
def rex(attacked: Server) -> Server:
    return attacked.user_of("rex", secret="a long secret of rex's")


@pytest.fixture(scope="module")
def services(rex: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Inside]:
    folder: Path = tmp_path_factory.mktemp("ruled")
    return {name: deploy(rex, folder, name) for name in ("orders", "billing", "shipping")}


def rule(owner: Server, id: str, resource: str, priority: int, *flags: str) -> None:
    owner.micro("auth", "create", "rule", "--resource", resource, "--priority", str(priority), *flags, id)


def forget(owner: Server, *ids: str) -> None:
    for id in ids:
        owner.micro("auth", "delete", "rule", id)


SET = 'from micro import Client\nsaid = Client().call("orders", "Inside.SetStatus", {})["said"]'
WRITE = 'from micro import store\nsaid = store.write("a", b"b")'


def test_only_billing_may_set_the_status_of_orders(rex: Server, services: dict[str, Inside]):
    rule(rex, "billing", "service:orders:Inside.SetStatus", 9, "--scope", "service:billing")
    rule(rex, "others", "service:orders:Inside.SetStatus", 8, "--access", "denied")
    eventually(lambda: "refused" in services["shipping"].run(SET), 3, "the rule acts")
    assert services["billing"].run(SET) == {"said": "set"}
    owner = rex.micro("call", "orders", "Inside.SetStatus", "{}", check=False)
    assert owner.returncode != 0
    assert "Forbidden" in owner.stderr + owner.stdout
    forget(rex, "billing", "others")
    eventually(lambda: services["shipping"].run(SET) == {"said": "set"}, 3, "the rule is gone")


def test_only_billing_may_write_to_the_store(rex: Server, services: dict[str, Inside]):
    rule(rex, "billing", "service:store:Store.Write", 9, "--scope", "service:billing")
    rule(rex, "others", "service:store:Store.Write", 8, "--access", "denied")
    eventually(lambda: "refused" in services["shipping"].run(WRITE), 3, "the rule acts on the platform's service")
    assert "Forbidden call made to store:Store.Write" in str(services["shipping"].run(WRITE))
    assert "said" in services["billing"].run(WRITE)
    assert "said" in services["shipping"].run("from micro import store\nsaid = store.tables()"), "of other methods none"
    forget(rex, "billing", "others")
    eventually(lambda: "said" in services["shipping"].run(WRITE), 3, "the rule is gone")


def test_what_is_denied_in_one_namespace_goes_on_in_others(rex: Server, mallory: Server, attacked: Server):
    rule(rex, "nobody", "service:store:*", 9, "--access", "denied")
    denied = rex.micro("store", "write", "a", "b", check=False)
    assert denied.returncode != 0
    mallory.micro("store", "write", "a", "b")
    attacked.micro("store", "write", "a", "b")
    forget(rex, "nobody")


def test_a_namespace_forbids_to_kill_at_every_door_and_nobody_locks_themselves_out(rex: Server, services):
    rule(rex, "keep", "service:runtime:Runtime.Delete", 9, "--access", "denied")
    rule(rex, "no-auth", "service:auth:*", 9, "--access", "denied")

    def is_refused() -> bool:
        done = rex.micro("kill", "orders", check=False)
        return "Forbidden call made to runtime:Runtime.Delete" in done.stderr + done.stdout

    eventually(is_refused, 3, "the rule acts")
    token = rex.micro("user", "token").stdout.strip()
    answer = rex.rest("DELETE", "/v1/services/orders", token)
    assert answer.status_code == 403
    assert "Runtime.Delete" in answer.json()["detail"]
    assert rex.micro("auth", "list", "accounts", check=False).returncode != 0
    rex.micro("login", "--username", "owner", "--password", "a long secret of rex's")
    forget(rex, "keep", "no-auth")
    assert rex.rest("DELETE", "/v1/services/orders", token).status_code == 204


def test_a_rule_gives_nothing_that_the_role_does_not(rex: Server, services: dict[str, Inside]):
    rule(rex, "all", "service:runtime:*", 9, "--scope", "service:billing")
    rule(rex, "any", "*:*:*", 8, "--scope", "+")
    named = {"resource": {"service": {"name": "shipping", "version": "latest"}}}
    services["billing"].refused(("runtime", "Runtime.Delete", named))
    forget(rex, "all", "any")


def test_a_rule_about_every_service_is_about_ones_own(rex: Server):
    rule(rex, "closed", "service:*:*", 9, "--access", "denied")
    rex.micro("store", "write", "still", "open")
    forget(rex, "closed")


def test_a_service_is_nobody_elses_name(rex: Server, mallory: Server):
    for flags in (("--scopes", "service:billing"), ("--scopes", "admin", "--scopes", "service:billing")):
        done = rex.micro("auth", "create", "account", *flags, "billing-too", check=False)
        assert done.returncode != 0
        assert "belongs to a service" in done.stderr + done.stdout
