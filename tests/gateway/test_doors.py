"""Requests through a real Envoy: who is meant, by which path, in which tongue."""

from __future__ import annotations

import json
import queue
import time

import grpc
import httpx
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from gateway.state import Service

from .backends import Grpc, free_port
from .harness import Gateway, error_of, token

FOO = {"micro-namespace": "foo"}
DOORS = ("api", "proxy", "network")


def ask(backend: Grpc, **values: object) -> bytes:
    return backend.request_type(**values).SerializeToString()


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


# --- gRPC ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/helloworld.Helloworld/Call", "/helloworld.other.Helloworld/Call"])
def test_a_grpc_call_by_service_name_reaches_the_proto_full_name(gateway: Gateway, hello: Grpc, door: str, path: str):
    if "other" in path:
        error = error_of(lambda: gateway.call(path, ask(hello, name="x"), door=door, micro_namespace="foo"))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        return
    answer = hello.response_type.FromString(gateway.call(path, ask(hello, name="x"), door=door, micro_namespace="foo"))
    assert answer.msg == "Hello x"
    assert answer.path == "/greeter.v1.Helloworld/Call"


def test_a_grpc_call_goes_by_host_too(gateway: Gateway, hello: Grpc):
    for path in ("/greeter.v1.Helloworld/Call", "/helloworld.Helloworld/Call"):
        data = gateway.call(path, ask(hello, name="x"), authority="helloworld--foo.localhost:8081")
        assert hello.response_type.FromString(data).path == "/greeter.v1.Helloworld/Call"


def test_a_proto_full_name_is_enough_when_one_service_offers_it(gateway: Gateway, hello: Grpc):
    data = gateway.call("/greeter.v1.Helloworld/Call", ask(hello, name="x"), micro_namespace="micro")
    assert hello.response_type.FromString(data).msg == "Hello x"


def test_a_proto_full_name_that_several_services_offer_is_refused_by_their_names(gateway: Gateway, hello: Grpc):
    error = error_of(lambda: gateway.call("/greeter.v1.Helloworld/Call", ask(hello), micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    document = json.loads(error.details())
    assert document["code"] == 409
    for name in ("helloworld", "shop.cart", "v1.people"):
        assert name in document["detail"]


def test_an_unknown_method_is_answered_by_the_service(gateway: Gateway):
    error = error_of(lambda: gateway.call("/helloworld.Helloworld/Nope", micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("door", DOORS)
def test_an_unknown_service_is_not_found_in_micros_words(gateway: Gateway, door: str):
    error = error_of(lambda: gateway.call("/nope.Nope/Call", door=door, micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    document = json.loads(error.details())
    assert document["code"] == 404
    assert document["detail"] == "service nope: route not found"


def test_an_unknown_service_is_404_over_http_by_path_and_by_host(gateway: Gateway):
    for answer in (gateway.get("/nope/x", headers=FOO), gateway.get("/", host="nope--foo.localhost")):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "service nope: route not found"


def test_a_grpc_call_of_a_service_without_replicas_is_unavailable(own: Gateway, hello: Grpc):
    nowhere = ("127.0.0.1", free_port())
    own.serve(
        Service("foo", "empty", "grpc", (), hello.descriptors),
        Service("foo", "dead", "grpc", (nowhere,), hello.descriptors),
    )
    for name in ("empty", "dead"):
        error = error_of(lambda name=name: own.call(f"/{name}.Helloworld/Call", micro_namespace="foo"))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert json.loads(error.details())["code"] == 503
        assert own.get(f"/{name}/helloworld/call", headers=FOO).json()["code"] == 503


def test_a_grpc_call_of_a_plain_http_service_says_that_it_is_one(gateway: Gateway):
    error = error_of(lambda: gateway.call("/web.Web/Call", micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert json.loads(error.details())["detail"] == "service web speaks HTTP, not gRPC"


def test_a_grpc_path_without_a_service_is_refused(gateway: Gateway):
    error = error_of(lambda: gateway.call("/Helloworld/Call", micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "service name is blank" in error.details()


def test_a_grpc_stream_is_passed_on_message_by_message(gateway: Gateway, hello: Grpc):
    arrivals = []
    with gateway.channel() as channel:
        stream = channel.unary_stream("/helloworld.Helloworld/Count")
        for _ in stream(ask(hello, name="x"), metadata=[("micro-namespace", "foo")], timeout=10):
            arrivals.append(time.monotonic())
    assert len(arrivals) == 3
    assert arrivals[2] - arrivals[0] > 0.4


@pytest.mark.parametrize("door", DOORS)
def test_a_conversation_goes_back_and_forth(gateway: Gateway, hello: Grpc, door: str):
    spoken: queue.Queue[bytes | None] = queue.Queue()
    with gateway.channel(door) as channel:
        chat = channel.stream_stream("/helloworld.Helloworld/Chat")
        answers = chat(iter(spoken.get, None), metadata=[("micro-namespace", "foo")], timeout=10)
        for name in ("one", "two", "x" * 100_000, "three"):
            spoken.put(ask(hello, name=name))
            assert hello.response_type.FromString(next(answers)).size == len(ask(hello, name=name))
        spoken.put(None)
        assert list(answers) == []


def test_a_path_without_its_leading_slash_reaches_nobody(gateway: Gateway, hello: Grpc):
    calls = len(hello.seen)
    for path in ("helloworld.Helloworld/Call", "", "*"):
        error = error_of(lambda path=path: gateway.call(path, micro_namespace="foo"))
        assert error.code() is not grpc.StatusCode.OK
    assert len(hello.seen) == calls


def test_large_grpc_messages_pass_both_ways(gateway: Gateway, hello: Grpc):
    name = "x" * (30 * 1024 * 1024)
    data = gateway.call("/helloworld.Helloworld/Call", ask(hello, name=name), micro_namespace="foo")
    assert len(hello.response_type.FromString(data).msg) == len(name)


def test_json_frames_are_marked_for_the_service(gateway: Gateway, hello: Grpc):
    with gateway.channel() as channel:
        call = channel.unary_unary("/helloworld.Helloworld/Call")
        pairs = [("micro-namespace", "foo"), ("x-content-type", "application/json")]
        assert json.loads(call(b'{"name": "x"}', metadata=pairs, timeout=5))["codec"] == "json"
        pairs = [("micro-namespace", "foo"), ("x-content-type", "application/evil")]
        call(ask(hello, name="x"), metadata=pairs, timeout=5)
    assert "x-content-type" not in hello.seen[-1]


def test_a_grpc_content_type_of_json_is_told_to_the_service(gateway: Gateway, hello: Grpc):
    message = b'{"name": "x"}'
    answer = gateway.post(
        "/helloworld.Helloworld/Call",
        headers=FOO | {"content-type": "application/grpc+json", "x-content-type": "application/evil", "te": "trailers"},
        content=b"\0" + len(message).to_bytes(4, "big") + message,
    )
    assert json.loads(answer.content[5:])["codec"] == "json"
    assert hello.seen[-1]["x-content-type"] == "application/grpc+json"


def test_browsers_come_in_by_grpc_web(gateway: Gateway, hello: Grpc):
    message = ask(hello, name="x")
    answer = gateway.post(
        "/helloworld.Helloworld/Call",
        headers=FOO | {"content-type": "application/grpc-web+proto", "origin": "https://a.example"},
        content=b"\0" + len(message).to_bytes(4, "big") + message,
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/grpc-web")
    length = int.from_bytes(answer.content[1:5], "big")
    assert hello.response_type.FromString(answer.content[5 : 5 + length]).msg == "Hello x"
    assert b"grpc-status:0" in answer.content
    assert answer.headers["access-control-allow-origin"] == "https://a.example"


@pytest.mark.parametrize(
    ("path", "name", "status"),
    [
        ("/helloworld.Helloworld/Call", "missing", "5"),
        ("/nosuch.Helloworld/Call", "x", "5"),
        ("/web.Web/Call", "x", "12"),
    ],
)
def test_a_browser_may_read_why_its_grpc_web_call_failed(gateway: Gateway, hello: Grpc, path, name, status):
    message = ask(hello, name=name)
    browser = {"content-type": "application/grpc-web+proto", "origin": "https://a.example", "x-grpc-web": "1"}
    answer = gateway.post(
        path,
        headers=FOO | browser,
        content=b"\0" + len(message).to_bytes(4, "big") + message,
    )
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert "Grpc-Status" in answer.headers["access-control-expose-headers"]
    said = answer.headers.get("grpc-status") or answer.content.partition(b"grpc-status:")[2][:2].decode().strip()
    assert said == status


# --- the order of filters ------------------------------------------------------------------------------------------


def test_the_running_envoy_has_its_filters_in_this_order(gateway: Gateway):
    """Who is it, who is meant, in which tongue, may they, go. Each one needs what the one before it found out."""
    dump = gateway.admin("/config_dump?resource=dynamic_listeners").json()["configs"]
    assert len(dump) == 3
    for each in dump:
        chain = each["active_state"]["listener"]["filter_chains"][0]
        filters = chain["filters"][0]["typed_config"]["http_filters"]
        assert [each["name"].rpartition(".")[2] for each in filters] == [
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


# --- namespaces ----------------------------------------------------------------------------------------------------


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


def test_browsers_of_any_origin_may_call(gateway: Gateway):
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
        assert answer.headers["access-control-allow-credentials"] == "true"
