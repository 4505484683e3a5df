"""Requests through a real Envoy: who is meant, by which path, in which tongue."""

from __future__ import annotations

import json
import time

import grpc
import httpx
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from gateway.state import Service

from .backends import Grpc
from .harness import Gateway, error_of, token

FOO = {"micro-namespace": "foo"}


# --- JSON → gRPC ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/helloworld", "Call"),
        ("/helloworld/call", "Call"),
        ("/helloworld/Call", "Call"),
        ("/helloworld/listThings", "ListThings"),
        ("/helloworld/list-things", "ListThings"),
        ("/helloworld/helloworld/call", "Call"),
        ("/helloworld/Helloworld/Call", "Call"),
        ("/helloworld.Helloworld/Call", "Call"),
        ("/v1/people/call", "Call"),
        ("/v1/people/helloworld/list-things", "ListThings"),
        ("/shop/cart/helloworld/call", "Call"),
        ("/shop.cart/helloworld/call", None),
    ],
)
def test_micros_paths_reach_their_method_by_get_and_by_post(gateway: Gateway, path: str, method: str | None):
    answers = [gateway.get(path + "?name=Joe", headers=FOO), gateway.post(path, headers=FOO, json={"name": "Joe"})]
    for answer in answers:
        if method is None:
            assert answer.status_code == 404
        else:
            assert answer.status_code == 200, answer.text
            assert answer.json()["msg"] == "Hello Joe"
            assert answer.json()["path"] == f"/greeter.v1.Helloworld/{method}"


def test_a_service_answers_at_its_own_host_with_short_paths(gateway: Gateway):
    for path in ("/?name=Joe", "/call?name=Joe", "/Helloworld/Call?name=Joe", "/helloworld?name=Joe"):
        assert gateway.get(path, host="helloworld--foo.localhost").json()["msg"] == "Hello Joe", path


def test_json_keeps_the_protos_field_names_and_shows_defaults_and_int64_as_text(gateway: Gateway):
    answer = gateway.post("/helloworld/call", headers=FOO, json={"full_name": "x", "count": "7"})
    assert answer.json()["size"].isdigit()
    assert answer.json()["codec"] == "proto"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("service", ["helloworld", "bare"])
def test_other_verbs_are_calls_too(gateway: Gateway, service: str, verb: str):
    answer = gateway.request(verb, f"/{service}/helloworld/call", headers=FOO, json={"name": "Joe"})
    assert answer.json()["msg"] == "Hello Joe"


@pytest.mark.parametrize(
    ("query", "name"),
    [("Joe+Smith", "Joe Smith"), ("Joe%20Smith", "Joe Smith"), ("a%2Bb", "a+b"), ("+a++b+", " a  b ")],
)
@pytest.mark.parametrize("service", ["helloworld", "bare"])
def test_a_plus_in_a_query_is_a_space(gateway: Gateway, service: str, query: str, name: str):
    assert gateway.get(f"/{service}/helloworld/call?name={query}", headers=FOO).json()["msg"] == f"Hello {name}"


def test_a_query_and_a_body_make_one_request(gateway: Gateway):
    answer = gateway.post("/helloworld/call?name=Joe", headers=FOO, json={"count": "1"})
    assert answer.json()["msg"] == "Hello Joe"


def test_the_verbs_that_a_services_author_has_bound_are_the_authors(own: Gateway, hello: Grpc):
    files = descriptor_pb2.FileDescriptorSet.FromString(hello.descriptors)
    call, things = files.file[0].service[0].method[:2]
    call.options.Extensions[annotations_pb2.http].get = "/people/{name}"
    things.options.Extensions[annotations_pb2.http].delete = "/people/{name}"
    own.serve(Service("foo", "people", "grpc", (hello.endpoint,), files.SerializeToString()))
    host = "people--foo.localhost"
    assert own.get("/people/Joe", host=host).json()["path"].endswith("/Call")
    assert own.get("/people/Joe", host=host).json()["msg"] == "Hello Joe"
    assert own.request("DELETE", "/people/Joe", host=host).json()["path"].endswith("/ListThings")
    assert own.request("PUT", "/people/Joe", host=host).status_code in (404, 405)


@pytest.mark.parametrize("service", ["helloworld", "bare"])
def test_a_form_is_a_request_of_texts(gateway: Gateway, service: str):
    answer = gateway.post(f"/{service}/helloworld/call", headers=FOO, data={"name": "J & ü", "count": "7"})
    assert answer.status_code == 200
    assert answer.json()["msg"] == "Hello J & ü"


def test_a_post_without_a_body_is_an_empty_request(gateway: Gateway):
    assert gateway.post("/helloworld/call", headers=FOO).json()["msg"] == "Hello "


@pytest.mark.parametrize("service", ["helloworld", "bare"])
def test_errors_of_a_method_are_micros_documents_with_their_http_status(gateway: Gateway, service: str):
    missing = gateway.post(f"/{service}/helloworld/call", headers=FOO, json={"name": "missing"})
    assert missing.status_code == 404
    assert missing.json() == {"id": "helloworld", "code": 404, "detail": "No such person.", "status": "Not Found"}
    assert missing.headers["content-type"] == "application/json"
    broken = gateway.post(f"/{service}/helloworld/call", headers=FOO, json={"name": "broken"})
    assert broken.status_code == 400
    assert broken.json() == {"id": "", "code": 400, "detail": 'plain "words"', "status": "Bad Request"}


def test_a_body_that_is_no_json_or_of_wrong_types_is_the_callers_error(gateway: Gateway):
    for content in (b"{", b"[]", b'{"count": "x"}', b"\xff"):
        answer = gateway.post("/helloworld/call", headers=FOO | {"content-type": "application/json"}, content=content)
        assert answer.status_code == 400, content
        assert answer.json()["code"] == 400
    assert gateway.get("/helloworld?nope=1", headers=FOO).status_code == 400
    assert gateway.get("/helloworld/nothing", headers=FOO).status_code == 404


def test_a_service_without_descriptors_is_called_in_json_frames(gateway: Gateway):
    for answer in (
        gateway.get("/bare/helloworld/call?name=Joe", headers=FOO),
        gateway.post("/bare/helloworld/call", headers=FOO, json={"name": "Joe"}),
        gateway.post("/bare/helloworld/call", headers=FOO, content=iter([b'{"name"', b':"Joe"}'])),
    ):
        assert answer.status_code == 200
        assert answer.json()["msg"] == "Hello Joe"
        assert answer.json()["codec"] == "json"
        assert answer.json()["path"] == "/bare.Helloworld/Call"
    assert gateway.post("/bare/helloworld/call", headers=FOO).json()["msg"] == "Hello "


@pytest.mark.parametrize("service", ["helloworld", "bare"])
def test_a_server_stream_comes_as_json_lines_while_it_runs(gateway: Gateway, service: str):
    arrivals = []
    with httpx.stream(
        "GET", f"{gateway.api}/{service}/helloworld/count?name=Joe", headers=FOO, trust_env=False
    ) as answer:
        for line in answer.iter_lines():
            if line:
                arrivals.append((time.monotonic(), json.loads(line)["msg"]))
    assert [message for _, message in arrivals] == ["Hello Joe"] * 3
    assert arrivals[2][0] - arrivals[0][0] > 0.4


def test_large_json_bodies_pass_both_ways(gateway: Gateway):
    name = "x" * (3 * 1024 * 1024)
    answer = gateway.post("/helloworld/call", headers=FOO, json={"name": name})
    assert answer.status_code == 200
    assert len(answer.json()["msg"]) == len(name)
    bare = gateway.post("/bare/helloworld/call", headers=FOO, json={"name": name})
    assert len(bare.json()["msg"]) == len(name)


@pytest.mark.parametrize("service", ["helloworld", "bare"])
def test_a_json_body_over_the_limit_is_refused_before_the_service_sees_it(gateway: Gateway, hello: Grpc, service: str):
    calls = len(hello.seen)
    answer = gateway.post(f"/{service}/helloworld/call", headers=FOO, json={"name": "x" * (17 * 1024 * 1024)})
    assert answer.status_code == 413
    assert len(hello.seen) == calls


def test_an_endless_json_body_is_cut_off_at_the_limit(gateway: Gateway):
    def endless():
        yield b'{"name": "'
        for _ in range(20):
            yield b"x" * 1024 * 1024
        yield b'"}'

    assert gateway.post("/helloworld/call", headers=FOO, content=endless()).status_code == 400
    assert gateway.post("/bare/helloworld/call", headers=FOO, content=endless()).status_code == 413


# --- plain HTTP ----------------------------------------------------------------------------------------------------


def test_at_its_own_host_a_plain_http_service_sees_its_paths_as_they_are(gateway: Gateway):
    answer = gateway.get("/web/get?x=1&y=%20", host="web--foo.localhost")
    assert answer.json()["path"] == "/web/get?x=1&y=%20"
    assert answer.json()["headers"]["host"].startswith("web--foo.localhost:")
    assert "x-forwarded-prefix" not in answer.json()["headers"]
    moved = gateway.get("/cookies/set", host="web--foo.localhost")
    assert moved.headers["location"] == "/cookies"
    assert moved.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; Path=/deep; HttpOnly"]


def test_under_its_name_a_plain_http_service_is_mounted(gateway: Gateway):
    answer = gateway.get("/web/get?x=1", headers=FOO)
    assert answer.json()["path"] == "/get?x=1"
    assert answer.json()["headers"]["x-forwarded-prefix"] == "/web"
    assert gateway.get("/web", headers=FOO).json()["path"] == "/"
    assert gateway.get("/web/", headers=FOO).json()["path"] == "/"
    assert gateway.get("/web?q=1", headers=FOO).json()["path"] == "/?q=1"
    assert gateway.get("/web/a/b/c/d", headers=FOO).json()["path"] == "/a/b/c/d"


def test_redirects_and_cookies_of_a_mounted_service_stay_under_its_name(gateway: Gateway):
    moved = gateway.get("/web/cookies/set", headers=FOO)
    assert moved.headers["location"] == "/web/cookies"
    assert moved.headers.get_list("set-cookie") == ["a=1; Path=/web", "b=2; Path=/web/deep; HttpOnly"]
    absolute = gateway.get("/web/redirect/absolute", headers=FOO)
    assert absolute.headers["location"] == f"{gateway.api}/web/get"
    assert gateway.get("/web/redirect/elsewhere", headers=FOO).headers["location"] == "https://example.com/get"
    assert gateway.get("/web/redirect/relative", headers=FOO).headers["location"] == "get"


def test_what_a_plain_http_service_answers_is_not_touched(gateway: Gateway):
    teapot = gateway.get("/status/418", host="web--foo.localhost")
    assert (teapot.status_code, teapot.text) == (418, "teapot")
    assert teapot.headers["server"].startswith("BaseHTTP")
    assert gateway.get("/get", host="web--foo.localhost", headers={"authorization": "Bearer mine"}).status_code == 200
    preflight = gateway.request("OPTIONS", "/get", host="web--foo.localhost", headers={"origin": "https://a.example"})
    assert (preflight.status_code, preflight.headers["x-mine"]) == (204, "yes")
    assert "access-control-allow-origin" not in preflight.headers


def test_a_streaming_response_is_not_buffered(gateway: Gateway):
    arrivals = []
    with httpx.stream("GET", gateway.api + "/web/drip", headers=FOO, trust_env=False) as answer:
        for chunk in answer.iter_raw():
            arrivals.append((time.monotonic(), chunk))
    assert b"".join(chunk for _, chunk in arrivals) == b"0\n1\n2\n"
    assert arrivals[-1][0] - arrivals[0][0] > 0.4


def test_a_large_upload_is_passed_on_while_it_is_sent(gateway: Gateway):
    def slowly():
        yield b"x" * 100_000
        time.sleep(0.6)
        yield b"x" * 20_000_000

    began = time.time()
    answer = gateway.post("/upload", host="web--foo.localhost", content=slowly())
    assert answer.json()["size"] == 20_100_000
    assert answer.json()["first_chunk_at"] - began < 0.5


@pytest.mark.parametrize("url", ["ws://web--foo.localhost:{port}/ws", "ws://127.0.0.1:{port}/web/ws"])
def test_a_websocket_is_passed_through(gateway: Gateway, url: str):
    from websockets.sync.client import connect

    port = gateway.doors.api[1]
    with connect(url.format(port=port), additional_headers=FOO, proxy=None, sock=_dial(port)) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"


def _dial(port: int):
    import socket

    return socket.create_connection(("127.0.0.1", port))


def test_a_service_without_endpoints_is_503(gateway: Gateway):
    answer = gateway.get("/empty/", headers=FOO)
    assert answer.status_code == 503
    assert answer.json()["code"] == 503


# --- the order of filters ------------------------------------------------------------------------------------------


def test_the_running_envoy_has_its_filters_in_this_order(gateway: Gateway):
    """Was it here before, who is it, who is meant, in which tongue, may they, go: in the order of what each needs."""
    dump = gateway.admin("/config_dump?resource=dynamic_listeners").json()["configs"]
    assert len(dump) == 3
    for each in dump:
        chain = each["active_state"]["listener"]["filter_chains"][0]
        filters = chain["filters"][0]["typed_config"]["http_filters"]
        assert [each["name"].rpartition(".")[2] for each in filters] == [
            "cdn_loop",
            "grpc_web",
            "basic",
            "jwt_authn",
            "lua",
            "grpc_json_transcoder",
            "resource",
            "rbac",
            "router",
        ]


def test_the_token_chooses_the_namespace_the_namespace_the_route_and_the_route_the_transcoder(gateway: Gateway):
    """Breaks when Lua runs before the token is checked, or the transcoder before the route is chosen."""
    headers = {"authorization": f"Bearer {token('foo')}"}
    assert gateway.post("/v1/people/call", headers=headers, json={"name": "Joe"}).json()["msg"] == "Hello Joe"
    assert gateway.post("/v1/people/call", json={"name": "Joe"}).status_code == 404


def test_a_services_figures_can_be_read(gateway: Gateway):
    gateway.get("/web/get", headers=FOO)
    figures = gateway.admin("/stats?filter=cluster.foo/web").text
    assert "cluster.foo/web.membership_healthy: 1" in figures
    for name in ("upstream_rq_total", "upstream_cx_none_healthy", "upstream_cx_destroy_with_active_rq"):
        assert f"cluster.foo/web.{name}: " in figures


# --- the platform's own services -----------------------------------------------------------------------------------


def test_the_platforms_services_are_answered_by_the_sidecar_from_every_namespace(gateway: Gateway, sidecar: Grpc):
    for namespace in ("micro", "foo", "bar"):
        error = error_of(lambda ns=namespace: gateway.call("/auth.Auth/Token", micro_namespace=ns))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert sidecar.seen[-1][":path"] == "/auth.Auth/Token"
        assert sidecar.seen[-1]["micro-namespace"] == namespace
    gateway.post("/auth/Auth/Token", json={"id": "joe"})
    assert sidecar.seen[-1][":path"] == "/auth.Auth/Token"
    gateway.post("/auth/inspect", json={"token": "t"})
    assert sidecar.seen[-1][":path"] == "/auth.Auth/Inspect"


def test_the_root_says_the_version(gateway: Gateway):
    for answer in (gateway.get("/"), gateway.post("/"), gateway.get("/", host="foo.localhost")):
        assert answer.json() == {"version": "3.1.4"}
    assert gateway.get("/favicon.ico").content == b""


def test_browsers_of_listed_origins_may_call(gateway: Gateway):
    origin = {"origin": "https://a.example"}
    preflight = gateway.request("OPTIONS", "/helloworld/call", headers=FOO | origin)
    assert preflight.status_code == 200
    blind = gateway.request("OPTIONS", "/web/get", headers=origin | {"access-control-request-method": "POST"})
    assert blind.status_code == 200  # a preflight does not name the namespace
    assert blind.headers["access-control-allow-origin"] == "https://a.example"
    assert preflight.headers["access-control-allow-methods"] == "POST, PATCH, GET, OPTIONS, PUT, DELETE"
    assert "Micro-Namespace" in preflight.headers["access-control-allow-headers"]
    for answer in (
        gateway.post("/helloworld/call", headers=FOO | origin, json={}),
        gateway.post("/helloworld/call", headers=FOO | origin, json={"name": "missing"}),
        gateway.post("/nope", headers=FOO | origin, json={}),
    ):
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers
