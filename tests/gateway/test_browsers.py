"""What pages in browsers try through a real Envoy: platform services, the dashboard's cookies, other hosts' cookies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

import grpc
import httpx
import pytest

from gateway.state import Service

from .backends import Grpc, Http
from .harness import Gateway, error_of, token

FOO = {"micro-namespace": "foo"}
DOORS = ("api", "proxy", "network")
EVIL = "https://evil.example"
LISTED = "https://a.example"
CLIENT = httpx.Client(trust_env=False, timeout=20)
ON_ITS_HOST, MOUNTED, ON_A_DOMAIN = ("web--foo.localhost", ""), ("foo.localhost", "/web"), ("shop.example", "/web")
OWN = [
    "micro=s",
    "__Host-micro=s",
    "micro-csrf=s",
    "__Host-micro-csrf=s",
    "micro-device=s",
    "micro-later=s",
    "MICRO=s",
    "__host-Micro=s",
    "__Secure-micro=s",
    "__Host-Http-micro=s",
    " micro =s",
    "\tmicro\t=s",
    '"micro"=s',
    "=micro=s",
    "= __Host-micro=s",
    "%6dicro=s",
    "micro",
    "micro=",
]


def url(gateway: Gateway, path: str, door: str = "api") -> str:
    return f"http://127.0.0.1:{getattr(gateway.doors, door)[1]}{path}"


def ask(gateway: Gateway, path: str, *, door: str = "api", method: str = "POST", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return CLIENT.request(method, url(gateway, path, door), headers=sent)


# --- platform services ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "marks",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:8082"},
        {"origin": f"{LISTED}.evil.example"},
        {"origin": LISTED.upper()},
        {"origin": f"{LISTED}, {EVIL}"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "None"},
        {"host": "evil.example"},
        {"host": "evil.example:8080", "origin": "http://evil.example:8080"},
        {"host": "localhost.evil.example"},
        {"host": "micro.example.evil.example"},
        {"host": "notlan.example"},
        {"host": "xn--lan.example"},
    ],
)
def test_the_platform_answers_no_page_and_no_foreign_host(gateway: Gateway, sidecar: Grpc, door, marks):
    for method in ("POST", "GET", "HEAD", "PUT", "OPTIONS"):
        for path in ("/auth/Auth/Token", "/auth.Auth/Token", "/auth"):
            calls = len(sidecar.seen)
            answer = ask(gateway, path, door=door, method=method, **marks)
            assert answer.status_code == 403, (method, path)
            assert "access-control-allow-origin" not in answer.headers
            assert len(sidecar.seen) == calls


@pytest.mark.parametrize("door", DOORS)
def test_a_page_at_a_host_of_ours_is_a_tenants_and_calls_no_platform_service(gateway: Gateway, sidecar: Grpc, door):
    calls = len(sidecar.seen)
    port = getattr(gateway.doors, door)[1]
    for host in ("localhost", "foo.localhost", "app.localhost", "127.0.0.1", "console.example"):
        own = {"host": f"{host}:{port}", "origin": f"http://{host}:{port}", "sec_fetch_site": "same-origin"}
        assert ask(gateway, "/auth/Auth/Token", door=door, **own).status_code == 403
    assert len(sidecar.seen) == calls


@pytest.mark.parametrize("door", DOORS)
def test_no_page_comes_in_by_grpc_web_either(gateway: Gateway, sidecar: Grpc, door):
    calls = len(sidecar.seen)
    for kind in ("application/grpc-web+proto", "application/grpc-web-text", "application/grpc", "text/plain"):
        answer = ask(gateway, "/auth.Auth/Token", door=door, content_type=kind, origin=EVIL, x_grpc_web="1")
        assert answer.headers.get("grpc-status", "7") == "7"
        assert "access-control-allow-origin" not in answer.headers
    error = error_of(lambda: gateway.call("/auth.Auth/Token", door=door, origin=EVIL))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    error = error_of(lambda: gateway.call("/grpc.reflection.v1.ServerReflection/X", door=door, origin=EVIL))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert len(sidecar.seen) == calls


@pytest.mark.parametrize("door", DOORS)
def test_programs_and_listed_origins_go_on(gateway: Gateway, sidecar: Grpc, door):
    hosts = ("micro.example", "box.lan.example:1", "10.1.2.3:8080", "console.example", "foo.localhost", "api.localhost")
    marks = [{}, {"origin": LISTED}, {"origin": LISTED, "sec_fetch_site": "cross-site"}, {"sec_fetch_site": "none"}]
    for headers in (*marks, *({"host": host} for host in hosts)):
        calls = len(sidecar.seen)
        ask(gateway, "/auth/Auth/Inspect", door=door, **headers)
        assert len(sidecar.seen) == calls + 1, headers
    calls = len(sidecar.seen)
    error_of(lambda: gateway.call("/auth.Auth/Token", door=door, authority="anything.example"))
    assert len(sidecar.seen) == calls + 1


def test_a_listed_page_may_read_the_answer_and_never_with_the_readers_cookies(gateway: Gateway):
    preflight = ask(gateway, "/auth/Auth/Token", method="OPTIONS", origin=LISTED, access_control_request_method="POST")
    for answer in (preflight, ask(gateway, "/auth/Auth/Token", origin=LISTED)):
        assert answer.headers["access-control-allow-origin"] == LISTED
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers


def test_a_get_of_which_a_browser_says_nothing_needs_a_token(gateway: Gateway, sidecar: Grpc):
    """Browsers send neither Origin nor Sec-Fetch-Site with a GET over plain http to another machine."""
    for host in ("10.1.2.3", "micro.example", "console.example"):
        calls = len(sidecar.seen)
        assert ask(gateway, "/auth/Auth/Token", method="GET", host=host).status_code == 403
        assert ask(gateway, "/auth/Auth/Token", method="GET", host=host, authorization="Basic eDp5").status_code == 403
        assert len(sidecar.seen) == calls
        ask(gateway, "/auth/Auth/Inspect", method="GET", host=host, authorization=f"Bearer {token()}")
        assert len(sidecar.seen) == calls + 1
    for host in ("localhost", "127.0.0.1:1", "[::1]:1", "foo.localhost"):
        assert ask(gateway, "/auth/Auth/Inspect", method="GET", host=host).status_code != 403


# --- services ------------------------------------------------------------------------------------------------------


def test_a_services_answer_is_shown_to_no_page_that_is_not_listed(gateway: Gateway):
    for headers in ({}, {"access_control_request_method": "POST"}):
        preflight = ask(gateway, "/helloworld/call", method="OPTIONS", origin=EVIL, micro_namespace="foo", **headers)
        assert preflight.status_code == 403
        assert "access-control-allow-origin" not in preflight.headers
    blind = ask(gateway, "/web/get", method="OPTIONS", origin=EVIL, access_control_request_method="POST")
    assert blind.status_code == 404
    for path in ("/helloworld/call", "/bare/helloworld/call", "/nope"):
        answer = ask(gateway, path, origin=EVIL, micro_namespace="foo")
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_service_that_lists_origins_is_read_by_their_pages_alone(envoy: Gateway, usual, hello: Grpc):
    own = "https://shop.example"
    listing = [replace(each, origins=(own, "http://localhost:3000")) for each in usual if each.namespace == "foo"]
    opened = Service("foo", "open", "grpc", (hello.endpoint,), hello.descriptors, ("*",))
    envoy.serve(*listing, opened, *(each for each in usual if each.namespace != "foo"))
    preflight = {"method": "OPTIONS", "access_control_request_method": "POST"}
    for host, path in (("helloworld--foo.localhost", "/call"), ("bare--foo.localhost", "/helloworld/call")):
        for more in (preflight, {}):
            answer = ask(envoy, path, host=host, origin=own, **more)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, own)
            assert "access-control-allow-credentials" not in answer.headers
            assert "Micro-Namespace" not in answer.headers.get("access-control-allow-headers", "")
            other = ask(envoy, path, host=host, origin=EVIL, **more)
            assert "access-control-allow-origin" not in other.headers
    assert ask(envoy, "/call", host="open--foo.localhost", origin=EVIL).headers["access-control-allow-origin"] == "*"
    assert ask(envoy, "/auth/Auth/Token", host="foo.localhost", origin=own).status_code == 403


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("host", ["app.localhost", "APP.localhost:8082", "app.localhost.", "console.example:443"])
def test_at_the_dashboards_host_there_is_no_service(gateway: Gateway, site: Http, hello: Grpc, door: str, host: str):
    del site.seen[:], hello.seen[:]
    for path in ("/web/get", "/web", "/helloworld/call", "/bare/helloworld/call"):
        for namespace in ("foo", "micro", "bar"):
            answer = ask(gateway, path, door=door, method="GET", host=host, micro_namespace=namespace)
            assert answer.status_code == 404
    error = error_of(
        lambda: gateway.call("/helloworld.Helloworld/Call", door=door, authority=host, micro_namespace="foo")
    )
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert not site.seen
    assert not hello.seen


# --- cookies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("cookie", OWN, ids=repr)
def test_no_cookie_of_the_dashboards_reaches_a_service(gateway: Gateway, door: str, cookie: str):
    host, prefix = MOUNTED if door == "proxy" else ON_ITS_HOST
    for header in (
        cookie,
        f"a=1; {cookie}",
        f"{cookie}; a=1;b=2",
        f'a="1; {cookie}',
        f"a=1;{cookie};",
        f"a=1,x;{cookie}",
    ):
        headers = [("host", host), ("cookie", header.strip()), ("cookie", cookie.strip())]
        answer = CLIENT.get(url(gateway, f"{prefix}/get", door), headers=headers)
        seen = answer.json()["headers"].get("cookie", "")
        assert "micro" not in seen.lower()
        assert "=s" not in seen
        assert "a=" in seen or "a=" not in header


def test_other_cookies_arrive_as_they_were(gateway: Gateway):
    for cookies in ("a=1", "a=1; b=micro; c=x=y", "micron=1; amicro=2; my-micro=3; micro_=4", 'q="a b"; e=; bare'):
        answer = gateway.get("/get", host="web--foo.localhost", headers={"cookie": cookies})
        assert answer.json()["headers"]["cookie"] == cookies


@pytest.mark.parametrize("path", ["/helloworld.Helloworld/Call", "/bare.Helloworld/Call"])
def test_no_cookie_of_the_dashboards_reaches_a_grpc_service_over_http2(gateway: Gateway, hello: Grpc, path: str):
    for door in DOORS:
        with gateway.channel(door) as channel:
            pairs = [
                ("micro-namespace", "foo"),
                ("cookie", "a=1"),
                ("cookie", "__Host-micro=s"),
                ("cookie", "micro=s; b=2"),
            ]
            channel.unary_unary(path)(hello.request_type(name="x").SerializeToString(), metadata=pairs, timeout=10)
        assert hello.seen[-1]["cookie"] == "a=1; b=2"


def upgraded(gateway: Gateway, door: str, target: str, host: str) -> tuple[bytes, bytes]:
    """The head of the answer to a WebSocket's handshake, and the first frame, which says which cookies arrived."""
    head = (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Cookie: micro=s; a=1\r\nCookie: __Host-micro=s\r\n\r\n"
    )
    with socket.create_connection(getattr(gateway.doors, door), timeout=5) as connection:
        connection.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(4096)
        connection.sendall(bytes([0x81, 0x87, 0, 0, 0, 0]) + b"cookies")
        answer, _, frame = answer.partition(b"\r\n\r\n")
        return answer, frame or connection.recv(4096)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("place", [ON_ITS_HOST, MOUNTED])
def test_a_websocket_neither_gets_nor_sets_a_cookie_of_the_dashboards(gateway: Gateway, door: str, place):
    host, prefix = place
    answer, frame = upgraded(
        gateway, door, f"{prefix}/ws?say-Set-Cookie=micro=x;Path=/&say-set-cookie=b=1;Path=/", host
    )
    assert answer.startswith(b"HTTP/1.1 101")
    assert frame[2:] == b"a=1"
    assert b"micro=x" not in answer
    assert b"b=1;Path=" + (prefix or "/").encode() in answer


def plant(
    gateway: Gateway, place: tuple[str, str], *headers: tuple[str, str], door: str = "api", page: str = "/page"
) -> httpx.Headers:
    """What comes of the headers with which a service answers."""
    host, prefix = place
    query = urlencode([(f"say-{name}", value) for name, value in headers])
    return CLIENT.get(url(gateway, f"{prefix}{page}?{query}", door), headers={"host": host}).headers


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("cookie", [*OWN, "=micro", "__Host-micro", "  =  micro=s"], ids=repr)
def test_no_service_sets_a_cookie_of_the_dashboards(gateway: Gateway, door: str, cookie: str):
    for place in (ON_ITS_HOST, MOUNTED):
        spelled = [cookie, f"{cookie}; Path=/", f"{cookie};Domain=localhost;Path=foo; Path=/; Secure"]
        found = plant(gateway, place, ("Set-Cookie", "a=1"), *(("set-cookie", each) for each in spelled), door=door)
        assert found.get_list("set-cookie") == ["a=1"]


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("a=1; Path=foo; Path=/", "a=1; Path=foo; Path=/web"),
        ("a=1; Path=/; path=/; PATH=/x", "a=1; Path=/web; path=/web; PATH=/web/x"),
        ("a=1;Path\t=\t/", "a=1;Path\t=\t/web"),
        ("a=1; Path=/; Path=", "a=1; Path=/web; Path="),
        ('a=1; Path="/"', 'a=1; Path=/web/"'),
        ("a=1; Domain=localhost; Path=/", "a=1; Path=/web"),
        ("a=1; domain = .localhost ;Path=/;DOMAIN=foo.localhost", "a=1;Path=/web"),
        ("__Host-a=1; Path=/; Secure", "__Host-a=1; Path=/web; Secure"),
    ],
)
def test_a_mounted_service_sets_cookies_for_its_own_path_alone(gateway: Gateway, cookie: str, expected: str):
    assert plant(gateway, MOUNTED, ("Set-Cookie", cookie)).get_list("set-cookie") == [expected]


def test_a_cookie_without_a_path_is_no_cookie_of_the_whole_host(gateway: Gateway):
    """A browser takes the folder of the request's path, which of `/web` is the root."""
    spelled = [("Set-Cookie", text) for text in ("a=1", "b=2; Path=x", "c=3; Path=/; Path=x", "d=4; Path=/")]
    bare = plant(gateway, MOUNTED, *spelled, page="").get_list("set-cookie")
    assert bare == ["a=1; Path=/web", "b=2; Path=x; Path=/web", "c=3; Path=/web; Path=x; Path=/web", "d=4; Path=/web"]
    assert plant(gateway, MOUNTED, *spelled[:2], page="/").get_list("set-cookie") == ["a=1", "b=2; Path=x"]


def test_a_service_sets_cookies_for_its_host_alone_unless_the_domain_is_its_own(envoy: Gateway, usual):
    envoy.serve(*usual, domains={"shop.example": "foo"})
    cookie = "a=1; Domain={}; Path=/"
    found = plant(envoy, ON_ITS_HOST, ("Set-Cookie", cookie.format("localhost")), ("Clear-Site-Data", '"cookies"'))
    assert (found.get_list("set-cookie"), "clear-site-data" in found) == (["a=1; Path=/"], False)
    found = plant(envoy, ON_A_DOMAIN, ("Set-Cookie", cookie.format("example")), ("Set-Cookie", "micro=x"))
    assert found.get_list("set-cookie") == ["a=1; Domain=example; Path=/web"]
    unknown = plant(envoy, ("10.0.0.1", "/web"), ("Set-Cookie", cookie.format("example")))
    assert unknown.get_list("set-cookie") == []  # no namespace is named: there is no such service


def test_a_mounted_service_says_nothing_about_the_whole_host(gateway: Gateway):
    said = [("Clear-Site-Data", "*"), ("Service-Worker-Allowed", "/"), ("Strict-Transport-Security", "max-age=1"),
            ("Alt-Svc", 'h2="evil:1"'), ("NEL", "{}"), ("X-Own", "stays")]  # fmt: skip
    found = plant(gateway, MOUNTED, *said)
    assert [name for name, _ in said if name in found] == ["X-Own"]
    assert "strict-transport-security" in plant(gateway, ON_ITS_HOST, *said)


@pytest.fixture
def hinting() -> Iterator[tuple[str, int]]:
    """A server that sets a cookie before, in and after its answer: in early hints, the head, and the trailers."""
    planted = b"Set-Cookie: micro=planted; Path=/\r\n"
    answer = b"HTTP/1.1 103 Early Hints\r\n" + planted + b"\r\nHTTP/1.1 200 OK\r\nTrailer: Set-Cookie\r\n" + planted
    answer += b"Set-Cookie: a=1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + planted + b"\r\n"
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()
    server.close()


def test_no_cookie_comes_before_or_after_an_answer(own: Gateway, hinting: tuple[str, int]):
    own.serve(Service("foo", "hints", "http", (hinting,)))
    with socket.create_connection(own.doors.api, timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: hints--foo.localhost\r\nConnection: close\r\nTE: trailers\r\n\r\n")
        said = b""
        while piece := connection.recv(65536):
            said += piece
    assert b"a=1" in said
    assert b"ok" in said
    assert b"planted" not in said
