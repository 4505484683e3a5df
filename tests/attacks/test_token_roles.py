"""What API tokens of each role do over REST, route by route: a reader only looks."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from server import Server

LOOKS = [
    ("GET", "/services"), ("GET", "/deployments"), ("GET", "/namespaces"), ("GET", "/namespaces/micro"),
    ("GET", "/api-tokens"), ("GET", "/services/absent"), ("GET", "/services/absent/logs"),
    ("GET", f"/deployments/{uuid4()}"), ("GET", f"/deployments/{uuid4()}/logs"),
]  # fmt: skip
CHANGES = [
    ("DELETE", "/services/absent"), ("POST", "/services/absent/deployments"), ("POST", "/deployments"),
    ("POST", f"/deployments/{uuid4()}/retry"), ("POST", f"/deployments/{uuid4()}/cancel"),
    ("POST", "/namespaces"), ("POST", "/api-tokens"), ("DELETE", f"/api-tokens/{uuid4()}"),
]  # fmt: skip


@pytest.fixture(scope="module")
def tokens(attacked: Server) -> dict[str, str]:
    """A token of each role, made by the operator; and one that others would revoke."""
    made = {}
    for role in ("reader", "member", "admin"):
        answer = attacked.call("auth", "ApiTokens.Create", {"name": f"roles of {role}", "role": role})
        made[role] = str(answer["token"])
    return made


def test_the_routes_here_are_all_that_there_are(attacked: Server, tokens: dict[str, str]):
    paths = attacked.rest("GET", "/v1/schema", tokens["reader"])
    described = paths.json()["paths"]
    known = {(method.upper(), len(path.split("/"))) for path, methods in described.items() for method in methods}
    assert sum(len(methods) for methods in described.values()) == len(LOOKS) + len(CHANGES)
    assert {(method, len(path.split("/")) + 1) for method, path in LOOKS + CHANGES} == known


def test_a_reader_looks_and_changes_nothing(attacked: Server, tokens: dict[str, str]):
    for method, path in LOOKS:
        assert attacked.rest(method, f"/v1{path}", tokens["reader"]).status_code in (200, 404), path
    for method, path in CHANGES:
        answer = attacked.rest(method, f"/v1{path}", tokens["reader"], {} if method == "POST" else None)
        assert answer.status_code == 403, (method, path, answer.text)
        assert "the role reader does not have" in answer.text or "Only admins" in answer.text


def test_a_reader_revokes_no_token_of_anybodys(attacked: Server, tokens: dict[str, str]):
    listed = attacked.call("auth", "ApiTokens.List", {})["api_tokens"]
    assert len(listed) >= 3
    for row in listed:
        assert attacked.rest("DELETE", f"/v1/api-tokens/{row['id']}", tokens["reader"]).status_code == 403
    assert attacked.call("auth", "ApiTokens.List", {})["api_tokens"] == listed


def test_a_members_token_deploys_nothing_into_the_platforms_namespace_and_makes_no_namespace_or_token(
    attacked: Server, tokens: dict[str, str]
):
    deploy = {"service": "x", "source": "github.com/a/b"}
    for method, path, body in (
        ("POST", "/deployments", deploy), ("DELETE", "/services/absent", None), ("POST", "/namespaces", {"name": "x"}),
        ("POST", "/api-tokens", {"name": "more"}),
    ):  # fmt: skip
        assert attacked.rest(method, f"/v1{path}", tokens["member"], body).status_code == 403, path
    assert attacked.rest("POST", "/v1/api-tokens", tokens["admin"], {"name": "more"}).status_code == 403


def test_an_api_token_opens_no_other_door(attacked: Server, tokens: dict[str, str]):
    """Calls take the tokens of Auth.Token alone."""
    for role, token in tokens.items():
        call = {"Authorization": f"Bearer {token}", "Micro-Namespace": "micro"}
        answer = attacked.get("/store/Tables", headers=call)
        assert answer.status_code in (401, 403), (role, json.dumps(answer.text))
