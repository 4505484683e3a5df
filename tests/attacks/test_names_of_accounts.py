"""Accounts that are named like somebody: they are themselves, and get nothing of a namesake's."""

from __future__ import annotations

import json

import pytest
from server import Server


@pytest.fixture(scope="module")
def ned(attacked: Server) -> Server:
    return attacked.user_of("ned", secret="a long secret of ned's")


@pytest.mark.parametrize("type", ["user", "token"])
def test_no_account_that_is_made_is_of_a_persons_type(ned: Server, attacked: Server, type: str):
    for owner in (ned, attacked):
        done = owner.micro("auth", "create", "account", "--type", type, "ceo", check=False)
        assert done.returncode != 0
        assert f"The type {type} is that of people" in done.stderr + done.stdout


def test_the_first_account_of_a_namespace_is_no_persons_either(attacked: Server, ned: Server):
    assert json.loads(ned.micro("user", "-o", "json").stdout)["type"] == "account"


@pytest.mark.parametrize("facts", [{"id": "admin"}, {"id": "other", "name": "admin"}])
def test_no_account_takes_the_name_of_a_member(attacked: Server, facts: dict[str, str]):
    done = attacked.micro(
        "call", "auth", "Auth.Generate", json.dumps({**facts, "secret": "of a namesake"}), check=False
    )
    assert done.returncode != 0
    assert "already exists" in done.stderr + done.stdout


def test_a_namesake_of_the_operator_in_another_namespace_has_nothing_of_theirs(attacked: Server, ned: Server):
    made = attacked.micro("tokens", "create", "theirs").stdout
    assert "micro_" in made
    ned.micro("auth", "create", "account", "--secret", "of a namesake", "--scopes", "admin", "admin")
    namesake = ned.logged_in("ned", "admin", "of a namesake", home="namesake")
    assert [one["name"] for one in namesake.call("auth", "Namespaces.List", {})["namespaces"]] == ["ned"]
    assert namesake.call("auth", "ApiTokens.List", {}).get("api_tokens", []) == []
    refused = [
        ("auth", "ApiTokens.Create", {"name": "mine"}),
        ("auth", "ApiTokens.List", {"options": {"namespace": "micro"}}),
        ("auth", "Namespaces.Create", {"name": "neds"}),
        ("store", "Store.Tables", {"database": "micro"}),
    ]
    for service, endpoint, request in refused:
        assert namesake.micro("call", service, endpoint, json.dumps(request), check=False).returncode != 0, endpoint
    token = namesake.micro("user", "token").stdout.strip()
    assert namesake.rest("GET", "/v1/api-tokens?namespace=micro", token).status_code in (403, 404)
    assert "theirs" in attacked.micro("tokens").stdout


def test_an_account_named_like_a_release_keeps_it_from_running_and_is_not_taken_over(ned: Server, tmp_path):
    ned.micro("auth", "create", "account", "--secret", "of a squatter", "web-latest-1")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.html").write_text("hello")
    done = ned.micro("run", tmp_path / "web", check=False, timeout_s=300)
    assert done.returncode != 0
    assert "web-latest-1, as another account" in done.stderr + done.stdout
    squatter = ned.logged_in("ned", "web-latest-1", "of a squatter", home="squatter")
    assert json.loads(squatter.micro("user", "-o", "json").stdout)["type"] == "account"
    ned.micro("auth", "delete", "account", "web-latest-1")
    ned.micro("run", tmp_path / "web", timeout_s=300)
