"""What strangers try: forged headers, odd spellings of paths, oversize and ambiguous requests."""

from __future__ import annotations

import json
import socket

import pytest

from .backends import Grpc, Http
from .harness import Gateway

FOO = {"micro-namespace": "foo"}
FORGED = {
    "x-micro-token": "forged",
    "x-micro-scope": "bar:helloworld",
    "x-micro-service": "web",
    "x-micro-rule": "web",
    "x-micro-full": "greeter.v1.Helloworld",
    "x-forwarded-for": "9.9.9.9",
    "x-forwarded-host": "evil.example",
    "x-forwarded-port": "1",
    "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/evil",
    "forwarded": "for=9.9.9.9",
    "x-real-ip": "9.9.9.9",
    "x-original-path": "/evil",
    "x-original-url": "/evil",
    "x-rewrite-url": "/evil",
    "x-script-name": "/evil",
    "x-envoy-internal": "true",
    "x-envoy-original-path": "/evil",
    "x-envoy-external-address": "9.9.9.9",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-retry-on": "5xx",
    "x-envoy-max-retries": "9",
    "x-envoy-decorator-operation": "evil",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_header_that_only_the_gateway_may_set_does_not_come_through(gateway: Gateway, name: str):
    for arguments in ({"host": "web--foo.localhost"}, {"headers": FOO}):
        headers = arguments.get("headers", {}) | {name: FORGED[name]}
        answer = gateway.get("/web/get", **arguments | {"headers": headers})
        assert answer.status_code == 200
        assert FORGED[name] not in answer.json()["headers"].get(name, "")


def test_no_forged_header_chooses_another_service(gateway: Gateway, hello: Grpc):
    scopes = {"x-micro-scope": "foo:web", "x-micro-service": "web", "x-micro-rule": "web", "x-micro-full": "web"}
    assert gateway.get("/helloworld/call?name=a", headers=FOO | scopes).json()["msg"] == "Hello a"
    assert gateway.get("/nope/get", headers=FOO | scopes).status_code == 404
    assert not [name for name in hello.seen[-1] if name.startswith("x-micro")]


@pytest.mark.parametrize(
    "name", ["micro_namespace", "x_micro_scope", "x-micro_scope", "authorization_", "X_Forwarded_For"]
)
def test_a_header_with_underscores_is_refused(gateway: Gateway, name: str):
    assert gateway.get("/web/get", headers=FOO | {name: "x"}).status_code == 400


def raw(gateway: Gateway, request: bytes, *, door: str = "api") -> bytes:
    """The answer to bytes as they are."""
    with socket.create_connection(getattr(gateway.doors, door), timeout=3) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
            if b"\r\n\r\n" in answer:
                break
        return answer


def get(
    gateway: Gateway, target: str | bytes, *, door: str = "api", host: str = "x", more: str = ""
) -> tuple[int, bytes]:
    line = target if isinstance(target, bytes) else target.encode("latin-1")
    head = f" HTTP/1.1\r\nHost: {host}\r\nMicro-Namespace: foo\r\n{more}Connection: close\r\n\r\n".encode()
    answer = raw(gateway, b"GET " + line + head, door=door)
    return (int(answer[9:12]) if answer else 0), answer


# Each of these is either refused, sent elsewhere by a redirect to the plain spelling, or is the same service to the
# gateway that decides and to the replica that acts. `web` and `helloworld` are different services.
SPELLINGS = [
    "/helloworld/../web/get",
    "/helloworld/./../web/get",
    "/helloworld/%2e%2e/web/get",
    "/helloworld/%2E%2E/web/get",
    "/helloworld/.%2e/web/get",
    "/helloworld/..%2fweb/get",
    "/helloworld/..%2Fweb/get",
    "/helloworld%2f..%2fweb/get",
    "/helloworld/..%5cweb/get",
    "/helloworld/..\\web/get",
    "/helloworld\\..\\web/get",
    "//web/get",
    "///web//get",
    "/./web/get",
    "/web/./get",
    "/web//get",
    "/web/%2e/get",
    "/%77eb/get",
    "/web%2fget",
    "/web%5cget",
    "/web;x=y/get",
    "/web/..;/helloworld/call",
    "/..;/web/get",
    "/web/get#/../../helloworld",
    "/web/get%23x",
    "/web/get%00",
    "/web%00/get",
    "/WEB/get",
    "/web./get",
    "/web /get",
    "/web%20/get",
    "/*/get",
    "*",
    "web/get",
    "http://x/web/get",
    "http://web--foo.localhost/get",
    "/web/%c0%ae%c0%ae/helloworld/call",
    "/web/%252e%252e/helloworld/call",
    "/web/get?/../helloworld",
    "/web?/../helloworld/call",
    "/../../web/get",
    "/../web/get",
    "/web/../../../../helloworld/call",
    "/web/get\x80",
    b"/web/\xff\xfe",
    b"/web/\xc0\xae\xc0\xae/helloworld",
    "",
]


@pytest.mark.parametrize("target", SPELLINGS, ids=repr)
@pytest.mark.parametrize("door", ["api", "proxy"])
def test_who_is_decided_about_is_who_is_called_however_the_path_is_spelled(
    gateway: Gateway, hello: Grpc, site: Http, target: str | bytes, door: str
):
    del hello.seen[:], site.seen[:]
    status, answer = get(gateway, target, door=door)
    assert status == 0 or 200 <= status < 600
    assert status not in (500, 502, 503), answer
    for _, path in site.seen:
        assert ".." not in path.partition("?")[0]
        assert "\\" not in path
        assert not any(spelling in path.lower() for spelling in ("%2e", "%2f", "%5c", "//", "%00"))
    assert not (hello.seen and site.seen)
    if site.seen or hello.seen:
        assert status == 200


@pytest.mark.parametrize("target", ["/helloworld.Helloworld%2fCall", "/helloworld.Helloworld/..%2fx", "/a%5cb"])
def test_escaped_slashes_are_refused_where_programs_call(gateway: Gateway, target: str):
    assert get(gateway, target, door="proxy")[0] == 400


def test_escaped_slashes_are_redirected_to_the_plain_path_where_browsers_call(gateway: Gateway):
    status, answer = get(gateway, "/web%2fget")
    assert status == 307
    assert b"location: /web/get" in answer.lower() or b"/web/get" in answer


POST = b"POST /web/get HTTP/1.1\r\nHost: x\r\nMicro-Namespace: foo\r\n"
GET = b"GET /web/get HTTP/1.1\r\nHost: x\r\nMicro-Namespace: foo\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: +1\r\n\r\nx",
        POST + b" Content-Length: 1\r\n\r\nx",
        GET + b"Host: y\r\n\r\n",
        GET + b"X-A: a\0b\r\n\r\n",
        GET + b"X A: b\r\n\r\n",
        GET + b"X-A: " + b"a" * 40_000 + b"\r\n\r\n",
        GET + b"X-A: a\r\n" * 120 + b"\r\n",
        b"GET /web/get HTTP/1.1\r\nMicro-Namespace: foo\r\n\r\n",
        b"CONNECT /web/get HTTP/1.1\r\nHost: x\r\nMicro-Namespace: foo\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
        b"GET /web/get HTTP/0.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda value: repr(value[-40:]) + str(len(value)),
)
def test_an_ambiguous_or_oversize_request_reaches_nobody(gateway: Gateway, site: Http, request_bytes: bytes):
    del site.seen[:]
    answer = raw(gateway, request_bytes)
    assert answer == b"" or 400 <= int(answer[9:12]) <= 501, answer
    assert site.seen == []


def test_a_client_that_offers_http2_is_answered_in_http1(gateway: Gateway):
    more = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    request = (
        f"GET /web/get HTTP/1.1\r\nHost: x\r\nMicro-Namespace: foo\r\nConnection: Upgrade, HTTP2-Settings\r\n{more}\r\n"
    )
    assert raw(gateway, request.encode()).startswith(b"HTTP/1.1 200")


def test_an_old_client_is_served(gateway: Gateway):
    assert (
        b" 200 " in raw(gateway, b"GET /web/get HTTP/1.0\r\nHost: x\r\nMicro-Namespace: foo\r\n\r\n").split(b"\r\n")[0]
    )


def test_the_admin_interface_is_a_private_socket(gateway: Gateway):
    admin = gateway.run / "envoy-admin.sock"
    assert admin.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(admin))
        connection.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"LIVE" in connection.recv(4096) + connection.recv(4096)


def test_the_errors_of_the_gateway_are_documents_in_every_case(gateway: Gateway):
    for path, headers in (("/nope", FOO), ("/helloworld/nope", FOO), ("/x", {"micro-namespace": "nope"})):
        answer = gateway.get(path, headers=headers)
        document = json.loads(answer.text)
        assert set(document) == {"id", "code", "detail", "status"}
        assert document["code"] == answer.status_code
