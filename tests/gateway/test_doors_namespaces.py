"""Which namespace a request means that comes through a real Envoy."""

from __future__ import annotations

import grpc
import pytest

from .backends import Grpc
from .harness import Gateway, error_of, token

FOO = {"micro-namespace": "foo"}


def test_services_of_the_same_name_in_two_namespaces_are_told_apart(gateway: Gateway):
    assert gateway.get("/helloworld?name=a", headers=FOO).json()["msg"] == "Hello a"
    assert gateway.get("/helloworld/x", headers={"micro-namespace": "bar"}).json()["path"] == "/x"
    assert gateway.get("/helloworld/x", host="bar.localhost").json()["path"] == "/x"
    assert gateway.get("/x", host="helloworld--bar.localhost").json()["path"] == "/x"
    assert gateway.get("/web/get", headers={"micro-namespace": "bar"}).status_code == 404


def test_the_namespace_is_the_hosts_else_the_headers_else_the_tokens_else_micro(gateway: Gateway, hello: Grpc):
    def namespace(**arguments):
        gateway.get("/helloworld/call", **arguments).raise_for_status()
        return hello.seen[-1]["micro-namespace"]

    bearer = {"authorization": f"Bearer {token('foo')}"}
    assert namespace() == "micro"
    assert namespace(headers=bearer) == "foo"
    assert namespace(headers=bearer | {"micro-namespace": "micro"}) == "micro"
    assert namespace(headers={"authorization": f"Bearer {token('bar')}"}, host="foo.localhost") == "foo"
    assert namespace(host="api.localhost") == "micro"


def test_a_host_and_a_header_that_disagree_are_refused(gateway: Gateway, hello: Grpc):
    for host in ("foo.localhost", "helloworld--foo.localhost"):
        assert gateway.get("/helloworld/call", host=host, headers=FOO).status_code == 200
        answer = gateway.get("/helloworld/call", host=host, headers={"micro-namespace": "bar"})
        assert answer.status_code == 400
        assert "foo" in answer.json()["detail"]
        assert "bar" in answer.json()["detail"]
    error = error_of(
        lambda: gateway.call("/helloworld.Helloworld/Call", authority="foo.localhost:8081", micro_namespace="bar")
    )
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_two_namespace_headers_are_refused(gateway: Gateway):
    answer = gateway.get("/helloworld/call", headers=[("micro-namespace", "foo"), ("micro-namespace", "bar")])
    assert answer.status_code == 400


@pytest.mark.parametrize("namespace", ["nope", "foo:web", ":auth", "@hosts", "foo bar", "..", "fo%6f", "FOO"])
def test_an_unknown_namespace_is_404(gateway: Gateway, namespace: str):
    answer = gateway.get("/helloworld/call", headers={"micro-namespace": namespace})
    assert answer.status_code == 404
    assert answer.json()["code"] == 404


def test_an_unknown_namespace_in_the_host_is_404(gateway: Gateway):
    assert gateway.get("/helloworld/call", host="nope.localhost").status_code == 404
    assert gateway.get("/helloworld/call", host="web--nope.localhost").status_code == 404
    assert gateway.get("/helloworld/call", host="a.foo.localhost").status_code == 404


def test_an_own_domain_belongs_to_its_namespace(gateway: Gateway, usual):
    gateway.serve(*usual, domains={"shop.example": "foo", "other.example": "bar"})
    assert gateway.get("/web/get", host="shop.example").status_code == 200
    assert gateway.get("/helloworld/x", host="other.example").json()["path"] == "/x"
    assert gateway.get("/web/get", host="shop.example", headers={"micro-namespace": "bar"}).status_code == 400
    assert gateway.get("/helloworld/call", host="unknown.example", headers=FOO).status_code == 200
