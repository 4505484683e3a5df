"""Claims about the pages of services: who sees them, what the forms refuse, what they cost."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now
from joining import join

from runtime import operations, variables
from runtime.models import Deployment, Release, Secret, Service
from runtime.operations import Changes, Order
from tenants.access.actors import account_of
from tenants.models import Membership, Namespace, User
from tenants.operations import bootstrap, create_api_token

pytestmark = pytest.mark.django_db
URL = "https://github.com/org/repo"
KB = 1024
WAYS = ("redeploy", "cancel")


@pytest.fixture(autouse=True)
def server(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # these claims are not about its cost
    settings.MICRO_GIT_ALLOW_HOSTS = ("127.0.0.1:1",)
    bootstrap(admin_password="micro")


@pytest.fixture
def joe() -> tuple[User, Namespace]:
    return join()


@pytest.fixture
def browser(joe) -> Client:
    browser = Client(headers={"host": "localhost"})
    browser.force_login(joe[0])
    return browser


@pytest.fixture
def resolve(monkeypatch):
    """Makes every host have the given address."""

    def to(address: str) -> None:
        found = [(2, 1, 6, "", (address, 443))]
        own = SimpleNamespace(
            getaddrinfo=lambda *_, **__: found, SOCK_STREAM=socket.SOCK_STREAM, gaierror=socket.gaierror
        )
        monkeypatch.setattr("runtime.sources.addresses.socket", own)  # not everybody's: the database has a host, too

    return to


def queue(user: User, namespace: Namespace, name: str, **order: object) -> Deployment:
    """Deploy; nobody works on it."""
    account = account_of(user, namespace.slug)
    return operations.deploy(
        namespace=namespace, name=name, version="latest", order=Order(source=URL, **order), by=account
    )


def release(deployment: Deployment) -> Release:
    """What a worker would have made of it."""
    service = deployment.service
    number = service.releases.count() + 1
    made = Release.objects.create(
        service=service, deployment=deployment, number=number, digest="git:0123456789", command=["x"]
    )
    service.release = made
    service.save(update_fields=["release"])
    Deployment.objects.across_namespaces().filter(pk=deployment.pk).update(state="live", finished_at=now())
    return made


def test_the_form_queues_a_deployment_with_its_parts_in_one_source(browser, joe, resolve):
    resolve("140.82.112.3")
    form = {"repository": URL, "ref": "main", "folder": "/apps/shop/", "name": "", "variables": "A=1\n# no\nB=x=y"}
    answer = browser.post("/n/joe/deploy", form)
    row = Deployment.objects.in_namespace("joe").get()
    assert answer.headers["location"] == f"/n/joe/deployments/{row.pk}"
    assert (row.source, row.service.name, row.by) == (f"{URL}/apps/shop@main", "shop", "joe@example.org")
    assert row.env == {"A": "1", "B": "x=y"}


@pytest.mark.parametrize(
    "repository",
    [
        "file:///etc/passwd",
        "ext::sh -c id",
        "ssh://git@github.com/a/b",
        "git://github.com/a/b",
        "http://github.com/a/b",
        "https://127.0.0.1/a/b",
        "https://localhost/a/b",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/a/b",
        "https://[::1]/a/b",
        "https://user:secret@github.com/a/b",
        "--upload-pack=x",
        "/etc",
        "../..",
    ],
)
def test_what_may_not_be_fetched_is_refused_next_to_the_field(browser, repository):
    answer = browser.post("/n/joe/deploy", {"repository": repository})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["repository"]
    assert "secret@" not in answer.context["form"].errors["repository"][0]
    assert not Service.objects.in_namespace("joe").exists()
    hint = browser.get("/n/joe/deploy/check", {"repository": repository}).content.decode()
    assert 'class="problem"' in hint


def test_a_host_with_a_private_address_is_refused_next_to_the_field(browser, resolve):
    resolve("10.1.2.3")
    answer = browser.post("/n/joe/deploy", {"repository": "https://git.example.org/a/b"})
    assert "has the private address 10.1.2.3" in answer.context["form"].errors["repository"][0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ref", "--force"),
        ("ref", "a..b"),
        ("folder", "../up"),
        ("name", "UPPER"),
        ("name", "registry"),
        ("variables", "PORT"),
        ("secrets", "nothing"),
        ("variables", "PORT=1"),
        ("variables", "MICRO_AUTH_ID=x"),
        ("variables", "A B=1"),
        ("variables", "A=1\nA=2"),
        ("secrets", "MICRO_PROTOCOL=tcp"),
        ("git_token", "two words"),
    ],
)
def test_each_mistake_is_said_at_its_own_field(browser, field, value):
    answer = browser.post("/n/joe/deploy", {"repository": "http://127.0.0.1:1/a.git", field: value})
    assert list(answer.context["form"].errors) == [field]


@pytest.mark.parametrize("scheme", ["https://", ""])
def test_a_password_in_an_address_is_not_in_the_page_again(browser, scheme):
    answer = browser.post("/n/joe/deploy", {"repository": f"{scheme}ann:hunter2@github.com/a/b", "variables": "A=1"})
    page = answer.content.decode()
    assert "hunter2" not in page
    assert f'value="{scheme}github.com/a/b"' in page
    assert ">\nA=1</textarea>" in page


def test_all_mistakes_are_said_at_once_and_nothing_that_was_typed_is_lost_but_secrets(browser):
    form = {"repository": "file:///x", "ref": "a..b", "folder": "../x", "name": "UPPER"}
    form |= {"variables": "PORT=1", "secrets": "hush"}
    answer = browser.post("/n/joe/deploy", form)
    assert list(answer.context["form"].errors) == list(form)
    page = answer.content.decode()
    for value in (value for name, value in form.items() if name != "secrets"):
        assert f'value="{value}"' in page or f">\n{value}</textarea>" in page, value
    assert page.count('class="problem"') == len(form)
    again = browser.post("/n/joe/deploy", {"repository": "file:///x", "git_token": "hunter2", "secrets": "A=sesame"})
    assert again.content.decode().count("Type it again: it is not shown.") == 2
    for typed in ("hush", "hunter2", "sesame"):
        assert f">{typed}" not in page + again.content.decode()
        assert f'value="{typed}' not in page + again.content.decode()
    assert "sesame" not in again.content.decode()


def test_a_token_for_a_private_repository_is_kept_sealed(browser):
    browser.post("/n/joe/deploy", {"repository": "http://127.0.0.1:1/shop.git", "git_token": "hunter2"})
    deployment = Deployment.objects.across_namespaces().get()
    assert variables.unseal_one(deployment.git_token_id) == "hunter2"
    assert b"hunter2" not in browser.get(f"/n/joe/deployments/{deployment.pk}").content


def test_a_variable_that_is_given_openly_and_as_a_secret_is_refused(browser):
    form = {"repository": "http://127.0.0.1:1/a.git", "variables": "A=1", "secrets": "A=2"}
    assert list(browser.post("/n/joe/deploy", form).context["form"].errors) == ["secrets"]


def test_a_repository_whose_name_no_service_can_have_asks_for_one(browser):
    answer = browser.post("/n/joe/deploy", {"repository": "http://127.0.0.1:1/registry.git"})
    assert "Give it another one here." in answer.context["form"].errors["name"][0]


def test_what_an_operation_refuses_is_said_on_the_form(browser, settings):
    settings.MICRO_DEFAULT_REPLICAS = 0
    answer = browser.post("/n/joe/deploy", {"repository": "http://127.0.0.1:1/a.git"})
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert "may have 0 replicas" in answer.content.decode()


def test_nothing_of_another_namespace_is_found(browser, joe):
    eve, theirs = join("eve@example.org", "eve")
    deployment = queue(eve, theirs, "shop")
    mine = queue(*joe, "shop")
    paths = ["", "deploy", "services/shop", "services/shop/log", "services/shop/stream", f"deployments/{deployment.pk}"]
    paths += [f"deployments/{deployment.pk}/log", f"deployments/{deployment.pk}/stream"]
    for path in paths:
        assert browser.get(f"/n/eve/{path}").status_code == 404, path
        assert browser.get(f"/n/none/{path}").status_code == 404, path
    for path in (
        "services/shop/delete",
        "services/shop/variables",
        *(f"deployments/{deployment.pk}/{what}" for what in WAYS),
    ):
        assert browser.post(f"/n/eve/{path}", {"name": "shop"}).status_code == 404, path
    # Their deployment's id below one's own namespace is none either.
    assert browser.get(f"/n/joe/deployments/{deployment.pk}").status_code == 404
    for what in WAYS:
        assert browser.post(f"/n/joe/deployments/{deployment.pk}/{what}").status_code == 404
    assert Service.objects.in_namespace("eve").get().deployments.count() == 1
    assert browser.get(f"/n/joe/deployments/{mine.pk}").status_code == 200


def test_the_head_of_a_stream_is_not_followed_by_the_stream(browser, joe):
    deployment = queue(*joe, "shop")
    for path in ("services/shop/stream", f"deployments/{deployment.pk}/stream"):
        answer = browser.head(f"/n/joe/{path}")
        assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
        assert not answer.streaming


def test_whoever_has_not_logged_in_is_sent_to_the_login(joe):
    stranger = Client(headers={"host": "localhost"})
    for path in ("/n/joe/", "/n/none/", "/n/joe/services/x", "/n/joe/services/x/stream"):
        assert stranger.get(path).headers["location"] == f"/login?next={path}"


def test_a_service_is_deleted_when_its_name_was_typed_and_not_otherwise(browser, joe):
    queue(*joe, "shop")
    browser.post("/n/joe/services/shop/delete", {"name": "shopp"})
    assert "Nothing was deleted" in browser.get("/n/joe/services/shop").content.decode()
    assert browser.post("/n/joe/services/shop/delete", {"name": "shop"}).headers["location"] == "/n/joe/"
    assert browser.get("/n/joe/services/shop").status_code == 404


def test_deploying_again_takes_the_same_source_and_variables(browser, joe):
    first = queue(*joe, "shop", env={"A": "1"}, secrets={"TOKEN": "s3cret"})
    answer = browser.post(f"/n/joe/deployments/{first.pk}/redeploy")
    second = Deployment.objects.in_namespace("joe").latest("created_at")
    assert answer.headers["location"] == f"/n/joe/deployments/{second.pk}"
    assert (second.source, second.env, second.secrets) == (first.source, first.env, first.secrets)
    assert second.pk != first.pk


def test_of_two_releases_the_one_that_serves_is_live_and_the_other_one_was_replaced(browser, joe):
    first = queue(*joe, "shop")
    release(first)
    assert "It runs" in browser.get(f"/n/joe/deployments/{first.pk}").content.decode()
    second = queue(*joe, "shop")
    release(second)
    page = browser.get("/n/joe/services/shop").content.decode()
    assert page.index(">live<") < page.index(">replaced<")
    assert page.count(">live<") == page.count(">replaced<") == 1
    page = browser.get(f"/n/joe/deployments/{first.pk}").content.decode()
    assert "a later deployment has replaced it" in page
    assert "It runs" not in page
    assert "It runs" in browser.get(f"/n/joe/deployments/{second.pk}").content.decode()


def test_the_api_keeps_the_state_of_what_was_replaced_and_tells_the_two_apart(browser, joe):
    first = queue(*joe, "shop")
    release(first)
    second = queue(*joe, "shop")
    release(second)
    third = queue(*joe, "shop")
    by = account_of(joe[0], "joe")
    _, token = create_api_token(namespace=joe[1], name="ci", role="member", expires_at=None, by=by, at=now())

    def listed(query: str) -> list[tuple[str, str, bool]]:
        answer = browser.get(f"/v1/deployments{query}", headers={"authorization": f"Bearer {token}"})
        return [(item["id"], item["state"], item["is_replaced"]) for item in answer.json()["items"]]

    old, new = (str(first.pk), "live", True), (str(second.pk), "live", False)
    waiting = (str(third.pk), "queued", False)
    assert listed("") == [waiting, new, old]
    assert listed("?is_replaced=true") == [old]
    assert listed("?is_replaced=false") == [waiting, new]
    assert listed("?state=live&is_replaced=false") == [new]
    Release.objects.filter(deployment=first).delete()
    assert listed("?is_replaced=true") == [old]
    assert listed("?is_replaced=false") == [waiting, new]


def test_a_deployment_is_cancelled_by_a_button_that_goes_when_it_is_over(browser, joe):
    deployment = queue(*joe, "shop")
    page = f"/n/joe/deployments/{deployment.pk}"
    assert f'action="{page}/cancel"' in browser.get(page).content.decode()
    assert browser.post(f"{page}/cancel").headers["location"] == page
    shown = browser.get(page).content.decode()
    assert "Cancelled by joe@example.org." in shown
    assert f'action="{page}/cancel"' not in shown
    assert browser.post(f"{page}/cancel").headers["location"] == page
    assert "There is nothing to cancel" in browser.get(page).content.decode()


def test_a_secret_is_encrypted_given_to_the_replica_and_never_shown(browser, joe):
    deployment = queue(*joe, "shop", env={"A": "plain"}, secrets={"TOKEN": "s3cret"})
    assert variables.unseal(deployment.secrets) == {"TOKEN": "s3cret"}
    assert b"s3cret" not in bytes(Secret.objects.get().sealed)
    assert "s3cret" not in str(Deployment.objects.in_namespace("joe").values())
    page = browser.get("/n/joe/services/shop").content.decode()
    assert "TOKEN" in page
    assert "plain" in page
    assert "s3cret" not in page


def rows(**fields: str) -> dict[str, str]:
    """Fields such as `name_0` as the form names them."""
    return {name.replace("_", "-"): value for name, value in fields.items()}


def test_variables_are_changed_added_and_removed_and_a_blank_secret_stays(browser, joe):
    queue(*joe, "shop", env={"A": "1", "B": "2"}, secrets={"KEEP": "k", "CHANGE": "old", "DROP": "d"})
    form = rows(name_0="A", value_0="one", name_1="B", value_1="2", remove_1="on", name_2="CHANGE", value_2="new")
    form |= rows(name_3="DROP", value_3="", remove_3="on", name_4="KEEP", value_4="")
    form |= rows(name_5="NEW", value_5="n", secret_5="on", name_6="", value_6="")
    answer = browser.post("/n/joe/services/shop/variables", form)
    assert answer.status_code == 302
    last = Deployment.objects.in_namespace("joe").latest("created_at")
    assert last.env == {"A": "one"}
    assert variables.unseal(last.secrets) == {"CHANGE": "new", "KEEP": "k", "NEW": "n"}


def test_a_plain_variable_can_become_a_secret_and_is_then_no_longer_shown(browser, joe):
    queue(*joe, "shop", env={"TOKEN": "open"})
    browser.post("/n/joe/services/shop/variables", rows(name_0="TOKEN", value_0="open", secret_0="on"))
    last = Deployment.objects.in_namespace("joe").latest("created_at")
    assert last.env == {}
    assert variables.unseal(last.secrets) == {"TOKEN": "open"}
    assert 'value="open"' not in browser.get("/n/joe/services/shop").content.decode()


def test_a_variable_that_is_the_platforms_own_is_refused_on_the_page(browser, joe):
    queue(*joe, "shop")
    answer = browser.post("/n/joe/services/shop/variables", rows(name_0="PORT", value_0="1"))
    assert answer.status_code == 400
    assert "PORT is set by the platform" in answer.content.decode()
    assert Deployment.objects.in_namespace("joe").count() == 1


def test_a_mistake_in_the_variables_is_said_at_its_row_and_loses_nothing_but_secrets(browser, joe):
    queue(*joe, "shop", env={"A": "1"}, secrets={"TOKEN": "old"})
    form = rows(name_0="A", value_0="one", name_1="TOKEN", value_1="brand-new", name_2="", value_2="nameless")
    form |= rows(name_3="A", value_3="again", name_4="NEXT", value_4="n", secret_4="on")
    answer = browser.post("/n/joe/services/shop/variables", form)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "This value has no name." in page
    assert "A is there already." in page
    for typed in ("one", "nameless", "again"):
        assert f">\n{typed}</textarea>" in page, typed
    assert "brand-new" not in page
    assert page.count("not shown; type it again") == 2
    blank = browser.post("/n/joe/services/shop/variables", rows(name_0="NEXT", value_0="", secret_0="on"))
    assert "This secret has no value." in blank.content.decode()
    assert Deployment.objects.in_namespace("joe").count() == 1


def test_a_value_of_many_lines_survives_the_form(browser, joe):
    pem = "-----BEGIN-----\nabc\n-----END-----\n"
    queue(*joe, "shop", env={"KEY": pem, "DOS": "a\r\nb"})
    page = browser.get("/n/joe/services/shop").content.decode()
    assert f">\n{pem}</textarea>" in page
    typed = pem.replace("\n", "\r\n")  # as browsers send it
    form = rows(name_0="DOS", value_0="a\r\nb", name_1="KEY", value_1=typed, name_2="MORE", value_2=typed)
    assert browser.post("/n/joe/services/shop/variables", form).status_code == 302
    last = Deployment.objects.in_namespace("joe").latest("created_at")
    assert last.env == {"KEY": pem, "DOS": "a\r\nb", "MORE": pem}


def test_an_account_of_another_namespace_changes_no_variables(joe):
    queue(*joe, "shop")
    eve, _ = join("eve@example.org", "eve")
    with pytest.raises(Exception, match="access denied"):
        operations.set_variables(
            namespace=joe[1],
            name="shop",
            version="latest",
            changes=Changes(plain={"A": "1"}),
            by=account_of(eve, "eve"),
        )


def test_a_failed_deployment_says_why_and_whether_it_was_built(browser, joe):
    row = queue(*joe, "shop")
    changes = {"state": "failed", "reason": "The moon is <in> the wrong phase.", "finished_at": now()}
    Deployment.objects.in_namespace("joe").filter(pk=row.pk).update(**changes)
    page = browser.get(f"/n/joe/deployments/{row.pk}").content.decode()
    assert "The moon is &lt;in&gt; the wrong phase." in page
    assert "Fetch and build" in page


def test_a_version_is_found_by_the_query(browser, joe):
    user, namespace = joe
    operations.deploy(
        namespace=namespace,
        name="shop",
        version="feature/x",
        order=Order(source=URL),
        by=account_of(user, "joe"),
    )
    assert "/n/joe/services/shop?version=feature%2Fx" in browser.get("/n/joe/").content.decode()
    assert browser.get("/n/joe/services/shop").status_code == 404
    page = browser.get("/n/joe/services/shop?version=feature%2Fx").content.decode()
    assert "/n/joe/services/shop/delete?version=feature%2Fx" in page


def queries(browser: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(path).status_code == 200
    asked = [query["sql"] for query in captured if not query["sql"].startswith("SET search_path")]
    return len(asked)


def test_a_page_asks_as_many_questions_for_forty_rows_as_for_two(browser, joe):
    paths = ["/n/joe/", "/n/joe/services/shop-0", "/n/joe/tokens", "/n/joe/deploy"]
    for index in range(2):
        release(queue(*joe, f"shop-{index}", env={"A": "1"}, secrets={"B": "2"}))
    queries(browser, paths[0])  # notes when the session was seen
    few = [queries(browser, path) for path in paths]
    for index in range(2, 40):
        release(queue(*joe, f"shop-{index}"))
    for _ in range(8):
        release(queue(*joe, "shop-0", env={"A": "1"}))
    for index in range(8):
        more = Namespace.objects.create(slug=f"more-{index}", schema_name=f"ns_x{index}", environment_id="local")
        Membership.objects.create(user=joe[0], namespace=more)
        whose = {"namespace": joe[1], "by": account_of(joe[0], "joe"), "at": now()}
        create_api_token(name=f"ci-{index}", role="member", expires_at=None, **whose)
    many = [queries(browser, path) for path in paths]
    assert many == few
    assert max(many) <= 12, many


def test_the_largest_pages_are_small(browser, joe):
    for index in range(40):
        release(queue(*joe, f"shop-{index}", env={f"VARIABLE_{n}": "x" * 40 for n in range(20)}))
    for path in ("/n/joe/", "/n/joe/services/shop-0", "/n/joe/deploy", "/n/joe/tokens"):
        assert len(browser.get(path).content) <= 60 * KB, path
