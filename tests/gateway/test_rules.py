"""Rules on a real Envoy: the table that the pure function is driven by, at each of the three doors."""

from __future__ import annotations

import json

import grpc
import httpx
import pytest

from gateway.state import Service
from primitives.rules.access import Book
from tests.primitives.rules.cases import ADMIN, CASES, JOE, NOBODY, OPERATOR, STRANGER, Case, deny, grant

from .backends import Grpc, Http
from .harness import Gateway, error_of, token

GRPC_PATHS = {"Helloworld.Call": "/helloworld/call", "Helloworld.ListThings": "/helloworld/listThings"}
RULEBOOKS = {case.rules: None for case in CASES}


def bearer(account) -> dict[str, str]:
    """The headers of a caller in namespace foo."""
    headers = {"micro-namespace": "foo"}
    if account is not None:
        claims = {"sub": account.id, "type": account.type, "name": account.name, "scopes": list(account.scopes)}
        headers["authorization"] = f"Bearer {token(account.issuer, **claims)}"
    return headers


def use(gateway: Gateway, usual: tuple[Service, ...], *rules, namespace: str = "foo") -> None:
    gateway.serve(*usual, domains={}, books={namespace: Book.of(namespace, rules)} if rules else {})


@pytest.fixture
def ruled(gateway: Gateway, usual: tuple[Service, ...]):
    """Puts rules into force, and takes them away in the end."""
    yield lambda *rules, namespace="foo": use(gateway, usual, *rules, namespace=namespace)
    use(gateway, usual)


def http(gateway: Gateway, door: str, path: str, account, **extra: str) -> httpx.Response:
    """A request over HTTP/1.1; all three doors take it."""
    port = getattr(gateway.doors, door)[1]
    with httpx.Client(trust_env=False, timeout=20) as client:
        return client.get(f"http://127.0.0.1:{port}{path}", headers=bearer(account) | extra)


def is_granted(gateway: Gateway, door: str, case: Case) -> bool:
    """Whether the call came through; when it did not, in the words and with the code that callers know."""
    endpoint = case.call[1]
    if endpoint.startswith("/"):
        path = endpoint if endpoint.isascii() else endpoint.replace("é", "%C3%A9")
        answer = http(gateway, door, f"/web{path}", case.account)
        on_own_host = http(gateway, door, path, case.account, host="web--foo.localhost")
        assert answer.status_code == on_own_host.status_code
        return outcome(answer.status_code, answer.json, case)
    if door == "api":
        answer = http(gateway, door, GRPC_PATHS[endpoint], case.account)
        return outcome(answer.status_code, answer.json, case)
    headers = {key.replace("-", "_"): value for key, value in bearer(case.account).items()}
    method = endpoint.partition(".")[2]
    by_name = lambda: gateway.call(f"/helloworld.Helloworld/{method}", door=door, **headers)  # noqa: E731
    at_host = {"door": door, "authority": "helloworld--foo.localhost"}
    by_full_name = lambda: gateway.call(f"/greeter.v1.Helloworld/{method}", **at_host, **headers)  # noqa: E731
    outcomes = {outcome(*grpc_answer(call), case) for call in (by_name, by_full_name)}
    assert len(outcomes) == 1
    return outcomes.pop()


def grpc_answer(call):
    try:
        call()
    except grpc.RpcError as error:
        codes = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403}
        text = error.details()
        return codes[error.code()], lambda: json.loads(text)
    return 200, dict


def outcome(status: int, document, case: Case) -> bool:
    if status in (200, 404) and not (status == 404 and "code" in document()):  # what the page itself answers is its own
        return True
    called = ":".join(case.call)
    if case.account is None:
        assert (status, document()["detail"]) == (401, f"Unauthorized call made to {called}")
    else:
        assert (status, document()["detail"]) == (403, f"Forbidden call made to {called} by {case.account.id}")
    assert document()["code"] == status
    return False


@pytest.mark.parametrize("door", ["api", "proxy", "network"])
def test_envoy_agrees_with_every_row_of_the_table(gateway: Gateway, ruled, door: str):
    disagreeing = []
    for rules in RULEBOOKS:
        ruled(*rules)
        rows = [case for case in CASES if case.rules == rules]
        disagreeing += [case for case in rows if is_granted(gateway, door, case) is not case.granted]
    assert disagreeing == []


TWICE_ENCODED = "/%2561dmin/x"  # for a service that decodes once this is another page: %61dmin
SPELLINGS = (
    TWICE_ENCODED,
    "/admin", "/ADMIN/x", "/%61dmin/x", "/%41dmin", "/admin%2Fx", "/x/../admin", "/./admin/x", "//admin/x",
    "/admin;a=b/x", "/admin;/x", "/;a/admin", "/x/..;/admin/y", "/%2e%2e;/admin", "/.;/admin", "/admin\\x",
    "/admin%5cx", "/admin?x", "/admin#x", "/admin/%2e/x", "/x/%2e%2e/admin", "/admin%3bx", "/admin%00",
    "/admin%0a/x", "/ad%6Din/", "/admin/;/../../admin",
)  # fmt: skip


@pytest.mark.parametrize("door", ["api", "proxy", "network"])
def test_no_spelling_of_a_denied_path_reaches_the_service_as_that_path(gateway, ruled, site: Http, door: str):
    import http.client
    from urllib.parse import unquote

    ruled(deny("", "service:web:/admin/*", 1), grant())
    for spelling in SPELLINGS:
        for host, path in (("127.0.0.1", f"/web{spelling}"), ("web--foo.localhost", spelling)):
            seen = len(site.seen)
            connection = http.client.HTTPConnection("127.0.0.1", getattr(gateway.doors, door)[1], timeout=10)
            connection.putrequest("GET", path, skip_host=True)
            connection.putheader("host", host)
            connection.putheader("micro-namespace", "foo")
            connection.endheaders()
            status = connection.getresponse().status
            connection.close()
            reached = [unquote(path) for _, path in site.seen[seen:]]
            plain = [part.partition(";")[0].lower() for path in reached for part in path.split("?")[0].split("/")]
            assert "admin" not in plain, (spelling, host, status, reached)
            assert status in (307, 308, 400, 401, 404) or spelling == TWICE_ENCODED, (spelling, host, status, reached)


def test_a_grpc_path_that_some_servers_would_take_for_another_method_is_refused(gateway: Gateway, ruled, hello: Grpc):
    ruled(deny("", "service:helloworld:Helloworld.Call", 1), grant())
    seen = len(hello.seen)
    for path in (
        "/helloworld.Helloworld/Call/x", "/helloworld.Helloworld/Call/", "/x.helloworld.Helloworld/Call",
        "/helloworld.Helloworld/Call?a", "/helloworld.helloworld/call", "/helloworld.x.Helloworld/Call",
    ):  # fmt: skip
        error = error_of(lambda path=path: gateway.call(path, micro_namespace="foo"))
        refused = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.NOT_FOUND)
        assert error.code() in refused, path
    assert len(hello.seen) == seen


def test_on_its_own_host_a_grpc_service_has_the_same_rules(gateway: Gateway, ruled, hello: Grpc):
    ruled(deny("", "service:helloworld:Helloworld.Call", 1), grant())
    own = "helloworld--foo.localhost"
    for path in ("/helloworld.Helloworld/Call", "/greeter.v1.Helloworld/Call", "/Helloworld/Call"):
        error = error_of(lambda path=path: gateway.call(path, authority=own))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED, path
    gateway.call("/helloworld.Helloworld/ListThings", authority=own)
    assert gateway.get("/helloworld/call", host=own).status_code == 401


def test_json_frames_and_streams_have_rules_too(gateway: Gateway, ruled, hello: Grpc):
    ruled(grant("admin"))
    for path in ("/bare/helloworld/call", "/helloworld/count"):
        assert gateway.get(path, headers=bearer(JOE)).status_code == 403
        assert gateway.get(path, headers=bearer(ADMIN)).status_code == 200
        assert gateway.get(path, headers=bearer(NOBODY)).status_code == 401


def test_a_browser_may_read_the_refusal(gateway: Gateway, ruled):
    ruled(deny())
    answer = gateway.get("/helloworld/call", headers=bearer(JOE) | {"origin": "https://app.example"})
    assert answer.status_code == 403
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "id": "gateway", "code": 403, "status": "Forbidden",
        "detail": "Forbidden call made to helloworld:Helloworld.Call by joe",
    }  # fmt: skip


def test_the_rules_of_one_namespace_are_nothing_to_another(gateway: Gateway, ruled):
    ruled(deny())
    assert gateway.get("/helloworld/", headers={"micro-namespace": "bar"}).status_code != 401
    assert gateway.get("/helloworld/call", headers={"micro-namespace": "micro"}).status_code == 200


def test_the_platforms_services_go_by_the_platforms_rules_whatever_namespace_a_caller_names(
    gateway: Gateway, ruled, sidecar: Grpc
):
    ruled(deny("", "service:auth:Auth.Generate", 1), grant(), namespace="micro")
    for namespace in ("micro", "foo"):
        headers = bearer(STRANGER) | {"micro-namespace": namespace}
        assert gateway.post("/auth/Generate", headers=headers, json={}).status_code == 403
        assert gateway.post("/auth/Token", headers=headers, json={}).status_code != 403
    ruled(deny())
    assert gateway.post("/auth/Token", headers=bearer(JOE), json={}).status_code not in (401, 403)


def test_nobody_can_lock_the_operator_out(gateway: Gateway, ruled, sidecar: Grpc):
    ruled(deny(), namespace="micro")
    for method, expected in {"Auth.Token": False, "Rules.Delete": False, "Auth.Generate": True}.items():
        handler, name = method.split(".")
        error_or_answer = grpc_answer_code(lambda h=handler, n=name: gateway.call(f"/auth.{h}/{n}"))
        assert (error_or_answer is grpc.StatusCode.UNAUTHENTICATED) is expected, method


def grpc_answer_code(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_a_forged_resource_header_or_claim_changes_nothing(gateway: Gateway, ruled):
    ruled(grant("admin"))
    forged = {"x-micro-endpoint": "x", "x-micro-scope": "foo:web", "claims": "admin", "x-jwt-payload": "e30"}
    assert gateway.get("/helloworld/call", headers=bearer(JOE) | forged).status_code == 403
    assert gateway.get("/helloworld/call", headers=bearer(OPERATOR) | forged).status_code == 403


def test_two_hundred_rules_are_taken(gateway: Gateway, ruled):
    many = [deny("", f"service:helloworld:Other{n}.Call", 1, id=f"r{n}") for n in range(200)]
    ruled(*many, grant())
    assert gateway.get("/helloworld/call", headers=bearer(NOBODY)).status_code == 200
