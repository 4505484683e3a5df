"""Claims about the REST API, in this process: what it takes, what it answers, and what it refuses."""

from __future__ import annotations

import uuid

import pytest
from calling import Caller
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from runtime.models import Deployment, Service

pytestmark = pytest.mark.django_db
ORDER = {"service": "web", "source": "github.com/you/web"}


@pytest.fixture
def deployment(joe):
    answer = joe.post("/deployments", {**ORDER, "env": {"SECRET": "hush"}})
    assert answer.status_code == 202, answer.content
    return answer.json()


def is_problem(answer, status: int, kind: str) -> bool:
    found = answer.json()
    return (
        answer.status_code == found["status"] == status
        and answer["Content-Type"] == "application/problem+json"
        and found["type"] == f"urn:micro:error:{kind}"
        and bool(found["detail"])
    )


def test_a_deployment_is_accepted_with_its_address(joe, deployment):
    assert deployment["state"] == "queued"
    assert deployment["address"] == "http://web--shop.localhost:8080"
    assert deployment["source"] == "https://github.com/you/web"
    assert joe("GET", deployment["url"].removeprefix("http://testserver/v1")).json() == deployment


def test_the_location_is_the_deployments_url(joe):
    answer = joe.post("/deployments", ORDER)
    assert answer["Location"] == answer.json()["url"]


def test_values_of_variables_are_never_shown(joe, deployment):
    assert deployment["env_names"] == ["SECRET"]
    for path in ("/deployments", "/services", "/services/web", f"/deployments/{deployment['id']}"):
        assert b"hush" not in joe.get(path).content


def test_a_service_is_listed_read_deployed_again_and_killed(joe, deployment):
    (service,) = joe.get("/services").json()["items"]
    assert (service["name"], service["status"], service["owner"]) == ("web", "pending", "joe")
    assert service["deployment_url"] == deployment["url"]
    assert joe.get("/services/web").json() == service
    again = joe.post("/services/web/deployments", {"instances": 2})
    assert again.status_code == 202
    assert (again.json()["instances"], again.json()["env_names"]) == (2, ["SECRET"])
    retried = joe.post(f"/deployments/{deployment['id']}/retry")
    assert (retried.status_code, retried.json()["instances"]) == (202, 1)
    assert joe("DELETE", "/services/web").status_code == 204
    assert is_problem(joe.get("/services/web"), 404, "not-found")
    assert joe.get("/deployments").json()["items"] == []


def test_a_token_for_a_private_repository_is_taken_and_never_shown(joe):
    made = joe.post("/deployments", {**ORDER, "git_token": "hunter2"})
    assert made.status_code == 202
    assert "hunter2" not in made.text + joe.get("/deployments").text
    assert is_problem(joe.post("/deployments", {**ORDER, "git_token": "two words"}), 400, "invalid-argument")


def test_a_deployment_under_way_is_cancelled_once_and_says_by_whom(joe, eve, deployment):
    assert is_problem(eve.post(f"/deployments/{deployment['id']}/cancel"), 404, "not-found")
    answer = joe.post(f"/deployments/{deployment['id']}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert answer.json()["reason"] == "Cancelled by joe."
    assert answer.json()["finished_at"]
    assert is_problem(joe.post(f"/deployments/{deployment['id']}/cancel"), 412, "failed-precondition")
    assert joe.get("/services/web").json()["status"] == "stopped"


def test_deployments_are_paged_and_filtered(joe):
    made = [joe.post("/deployments", {**ORDER, "service": f"s{number % 2}"}).json()["id"] for number in range(5)]
    first = joe.get("/deployments?limit=2").json()
    second = joe.get(first["next"].removeprefix("http://testserver/v1")).json()
    third = joe.get(second["next"].removeprefix("http://testserver/v1")).json()
    found = [item["id"] for page in (first, second, third) for item in page["items"]]
    assert found == made[::-1]
    assert third["next"] is None
    assert len(joe.get("/deployments?service=s1").json()["items"]) == 2
    assert len(joe.get("/deployments?state=superseded").json()["items"]) == 3
    assert is_problem(joe.get(f"/deployments?after={uuid.uuid4()}"), 404, "not-found")


def test_without_a_good_token_there_is_nothing(shop):
    for header in (None, "", "Basic am9lOng=", "Bearer", "Bearer x", "Bearer micro_x", "Bearer a.b.c", "Bearer \u00e9"):
        for path in ("/services", "/deployments", "/namespaces", "/api-tokens"):
            headers = {} if header is None else {"authorization": header}
            answer = Client().get(f"/v1{path}", headers=headers)
            assert is_problem(answer, 401, "unauthenticated"), (path, header)
            assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_session_cookie_opens_nothing(shop, client):
    from tenants.models import User

    client.force_login(User.objects.get(username="joe"))
    assert client.get("/v1/services").status_code == 401


def test_every_reason_is_told_by_field(joe):
    answer = joe.post("/deployments", {"service": "No Name", "instances": "2", "env": {"A": 1}, "sauce": "x"})
    assert is_problem(answer, 400, "invalid-argument")
    assert answer.json()["errors"] == {"sauce": ["There is no such field."]}
    answer = joe.post("/deployments", {"service": "No Name", "instances": "2", "env": {"A": 1}})
    assert set(answer.json()["errors"]) == {"service", "instances", "env.A", "source"}


def test_a_query_parameter_is_given_once(joe):
    answer = joe.get("/deployments?limit=1&limit=2&service=web")
    assert is_problem(answer, 400, "invalid-argument")
    assert answer.json()["errors"] == {"limit": ["It is given more than once."]}


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc/passwd",
        "ext::sh -c id",
        "https://127.0.0.1/a/b",
        "https://u:p@github.com/a/b",
        "archive:00",
        "-x",
        " ",
    ],
)
def test_a_hostile_source_is_refused_with_the_reason(joe, source):
    assert is_problem(joe.post("/deployments", {**ORDER, "source": source}), 400, "invalid-argument")
    assert not Service.objects.across_namespaces().exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status", "kind"),
    [
        (b"{", "application/json", 400, "invalid-argument"),
        (b"[" * 100_000, "application/json", 400, "invalid-argument"),
        (b'{"service": NaN}', "application/json", 400, "invalid-argument"),
        (b"\xff", "application/json", 400, "invalid-argument"),
        (b"[]", "application/json", 400, "invalid-argument"),
        (b'"' + b"x" * (1 << 20) + b'"', "application/json", 413, "invalid-argument"),
        (b'{"service": "a\\u0000b", "source": "\\ud800"}', "application/json", 400, "invalid-argument"),
        (b"service=web", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b"{}", "text/plain", 415, "unsupported-media-type"),
    ],
)
def test_a_body_that_is_no_proper_json_is_a_problem(joe, client, body, content_type, status, kind):
    answer = client.post(
        "/v1/deployments", body, content_type=content_type, headers={"authorization": f"Bearer {joe.token}"}
    )
    assert is_problem(answer, status, kind)


@pytest.mark.parametrize(
    "path",
    [
        "/none",
        "/services/a%00b",
        "/services/web/",
        "/services/web%0A",
        "/namespaces/shop%0A",
        "/deployments/1",
        "/",
        "/services/../x",
    ],
)
def test_a_path_that_leads_nowhere_is_a_problem_too(joe, path):
    assert is_problem(joe.get(path), 404, "not-found")


def test_another_method_is_refused_with_those_that_there_are(joe):
    answer = joe("PUT", "/services/web")
    assert is_problem(answer, 405, "method-not-allowed")
    assert answer["Allow"] == "GET, DELETE, HEAD"


def test_what_we_broke_is_told_by_incident_and_logged_once(joe, monkeypatch, caplog):
    monkeypatch.setattr("runtime.statuses.read", lambda **_: 1 / 0)
    answer = joe.get("/services")
    assert is_problem(answer, 500, "internal")
    assert "ZeroDivisionError" not in answer.json()["detail"]
    (record,) = [record for record in caplog.records if record.levelname == "ERROR" and record.exc_info]
    assert answer.json()["detail"].split()[-1].rstrip(".") in record.getMessage()


def test_nothing_happens_without_the_transaction(joe, deployment):
    """A deployment over the quota leaves the one under way alone."""
    answer = joe.post("/services/web/deployments", {"instances": 100, "env": {"A": "b"}})
    assert answer.status_code == 202
    answer = joe.post("/deployments", {**ORDER, "service": "other"})
    assert is_problem(answer, 429, "resource-exhausted")
    assert int(answer["Retry-After"]) > 0
    assert joe.get("/services/other").status_code == 404


def everything(namespace: str, deployment_id: str, token_id: str) -> list[tuple[str, str, object]]:
    """A call of every method of every path, about a namespace and what is in it."""
    query = f"?namespace={namespace}"
    return [
        ("GET", f"/services{query}", None),
        ("GET", f"/services/web{query}", None),
        ("DELETE", f"/services/web{query}", None),
        ("POST", f"/services/web/deployments{query}", {}),
        ("GET", f"/services/web/logs{query}", None),
        ("GET", f"/deployments{query}", None),
        ("POST", f"/deployments{query}", ORDER),
        ("GET", f"/deployments/{deployment_id}{query}", None),
        ("POST", f"/deployments/{deployment_id}/retry{query}", None),
        ("POST", f"/deployments/{deployment_id}/cancel{query}", None),
        ("GET", f"/deployments/{deployment_id}/logs{query}", None),
        ("GET", f"/api-tokens{query}", None),
        ("POST", f"/api-tokens{query}", {"name": "mine"}),
        ("DELETE", f"/api-tokens/{token_id}{query}", None),
        ("GET", f"/namespaces/{namespace}", None),
    ]


def test_a_second_tenant_finds_nothing_of_the_first_whatever_they_try(joe, eve, deployment):
    token = joe.post("/api-tokens", {"name": "ci"}).json()
    before = joe.get("/services").content, joe.get("/api-tokens").content
    for named in ("shop", "absent"):
        for method, path, body in everything(named, deployment["id"], token["id"]):
            answer = eve(method, path, body)
            assert is_problem(answer, 404, "not-found"), (method, path, answer.content)
            assert answer.json()["detail"] == f"Namespace '{named}' does not exist."
    own = [(m, p.partition("?")[0], b) for m, p, b in everything("shop", deployment["id"], token["id"])]
    for method, path, body in own:
        if deployment["id"] in path or token["id"] in path or path.startswith("/services/"):
            assert eve(method, path, body).status_code == 404, (method, path)
    assert eve.get(f"/deployments?after={deployment['id']}").status_code == 404
    assert [item["name"] for item in eve.get("/namespaces").json()["items"]] == ["rival"]
    assert (joe.get("/services").content, joe.get("/api-tokens").content) == before


def test_every_path_of_the_api_is_tried_by_the_second_tenant():
    from project.api.schema import document

    tried = {(m, p.partition("?")[0]) for m, p, _ in everything("shop", "{id}", "{id}")}
    tried = {
        (m, p.replace("/services/web", "/services/{name}").replace("/namespaces/shop", "/namespaces/{name}"))
        for m, p in tried
    }
    there = {
        (method.upper(), path.removeprefix("/v1")) for path, calls in document()["paths"].items() for method in calls
    }
    assert there - tried == {("GET", "/namespaces"), ("POST", "/namespaces")}  # these name no namespace of another's


def test_the_platforms_admin_enters_every_namespace(operator, deployment):
    (found,) = operator.get("/deployments?namespace=shop").json()["items"]
    assert found["id"] == deployment["id"]
    assert operator.get(found["url"].removeprefix("http://testserver/v1")).json() == found
    assert {item["name"] for item in operator.get("/namespaces").json()["items"]} == {"micro", "shop"}


def test_namespaces_are_made_by_the_platforms_admin_alone(operator, joe):
    assert is_problem(joe.post("/namespaces", {"name": "more"}), 403, "permission-denied")
    made = operator.post("/namespaces", {"name": "more"})
    assert (made.status_code, made.json()["name"]) == (201, "more")
    assert operator.get(made["Location"].removeprefix("http://testserver/v1")).json() == made.json()
    assert is_problem(operator.post("/namespaces", {"name": "more"}), 409, "already-exists")
    assert is_problem(operator.post("/namespaces", {"name": "admin"}), 400, "invalid-argument")


def test_an_api_token_is_made_used_and_revoked(ann, deployment):
    made = ann.post("/api-tokens", {"name": "ci"})
    assert made.status_code == 201
    token = Caller(made.json()["token"])
    assert [item["name"] for item in token.get("/services").json()["items"]] == ["web"]
    assert token.post("/deployments", ORDER).json()["by"] == "ann"
    assert is_problem(token.post("/api-tokens", {"name": "more"}), 403, "permission-denied")
    (shown,) = ann.get("/api-tokens").json()["items"]
    assert "token" not in shown
    assert shown["last_used_at"]
    assert ann("DELETE", f"/api-tokens/{shown['id']}").status_code == 204
    assert is_problem(token.get("/services"), 401, "unauthenticated")


def test_a_readers_token_changes_nothing(joe, deployment):
    reader = Caller(joe.post("/api-tokens", {"name": "board", "role": "reader"}).json()["token"])
    for method, path, body in everything("shop", deployment["id"], str(uuid.uuid4())):
        if "/logs" not in path:
            answer = reader(method, path, body)
            expected = {200} if method == "GET" else {403, 404} if "api-tokens" in path else {403}
            assert answer.status_code in expected, (method, path, answer.content)
    assert Deployment.objects.across_namespaces().count() == 1


def test_lists_take_as_many_queries_for_twenty_rows_as_for_one(joe, deployment):
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert joe.get(path).status_code == 200
        return len(captured)

    joe.post("/api-tokens", {"name": "first"})
    paths = ["/services", "/deployments", "/api-tokens", "/namespaces", "/services/web"]
    few = [queries(path) for path in paths]
    for number in range(19):
        joe.post("/deployments", {**ORDER, "service": f"s{number}"})
        joe.post("/services/web/deployments")
        joe.post("/api-tokens", {"name": f"t{number}"})
    assert [queries(path) for path in paths] == few
    assert max(few) <= 18  # six of them ask why a queued deployment waits, and what a service tells that cannot be used
