"""Claims about the admin: who gets in, what is there to see, and what can be done there."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from runtime import operations
from runtime.models import Build, Deployment, Release, Replica, Service
from tenants.models import ApiToken, Environment, Membership, Namespace, User
from tenants.operations import bootstrap, create_api_token, create_namespace
from transport.callers import Account

pytestmark = pytest.mark.django_db
JOE = Account("joe", "user", "shop", "joe", ("admin",))
MODELS = [Environment, Namespace, User, Membership, ApiToken, Service, Deployment, Build, Release, Replica]
IMMUTABLE = [Deployment, Build, Release, Replica, Service, ApiToken, Namespace]


def path(model: type, page: str = "changelist", *args: object) -> str:
    from django.urls import reverse

    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def shop() -> Namespace:
    bootstrap(admin_password="micro")
    return create_namespace(slug="shop", owner=User.objects.create_user("joe", "joe@shop.example", "x"))


@pytest.fixture
def operator(shop) -> Client:
    client = Client()
    client.force_login(User.objects.get(username="admin"))
    return client


def fill(namespace: Namespace, count: int, prefix: str = "web") -> Deployment:
    """Some services with everything that hangs on one; the last deployment."""
    joe = replace(JOE, user_id=User.objects.get(username=JOE.id).pk)
    for number in range(count):
        order = operations.Order(source="github.com/you/web", env={"SECRET_KEY": "hush-hush"})
        name = f"{prefix}{number}"
        deployment = operations.deploy(namespace=namespace, name=name, version="latest", order=order, by=joe)
        release = Release.objects.create(
            service=deployment.service, deployment=deployment, number=1, digest="git:1", command=[], env=deployment.env
        )
        Replica.objects.across_namespaces().create(
            namespace=namespace, service=deployment.service, release=release, index=0, state="serving"
        )
        create_api_token(namespace=namespace, name=name, role="member", expires_at=None, by=joe, at=now())
    return deployment


@pytest.mark.parametrize("who", [None, "joe"])
def test_nobody_but_operators_gets_in(shop, who):
    client = Client()
    if who:
        client.force_login(User.objects.get(username=who))
    for model in MODELS:
        answer = client.get(path(model))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


def test_every_row_has_a_page_and_every_link_on_it_works(operator, shop):
    fill(shop, 1)
    seen, waiting = set(), [path(model) for model in MODELS]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        answer = operator.get(page)
        assert answer.status_code == 200, page
        links = set(re.findall(r'href="(/admin/(?:tenants|runtime)/[^"]+)"', answer.content.decode()))
        links |= {
            page + link.replace("&amp;", "&") for link in re.findall(r'href="(\?[^"]+)"', answer.content.decode())
        }
        links = {link for link in links if "?" not in page or "?" not in link}  # filters of filters are the same again
        waiting += [link.replace("&amp;", "&") for link in links - seen - set(waiting)]
    for model in MODELS:
        assert any(page.startswith(path(model)) and page.endswith("/change/") for page in seen), model


@pytest.mark.parametrize("model", MODELS)
def test_rows_are_found_by_name(operator, shop, model):
    fill(shop, 1)
    create_namespace(slug="rival")
    words = {Environment: "dev", User: "joe"}.get(model, "shop")
    answer = operator.get(path(model), {"q": words})
    assert answer.status_code == 200
    assert answer.context["cl"].result_count == 1
    assert operator.get(path(model), {"q": "nothing-like-it"}).context["cl"].result_count == 0


def test_values_of_variables_are_shown_nowhere(operator, shop):
    deployment = fill(shop, 1)
    for row in (deployment, deployment.release, deployment.service):
        page = operator.get(path(type(row), "change", row.pk)).content.decode()
        assert "hush-hush" not in page
    assert "SECRET_KEY" in operator.get(path(Deployment, "change", deployment.pk)).content.decode()


@pytest.mark.parametrize("model", IMMUTABLE)
def test_what_happened_cannot_be_edited(operator, shop, model):
    fill(shop, 1)
    before = list(model._base_manager.order_by("pk").values())
    row = model._base_manager.first()
    page = operator.get(path(model, "change", row.pk)).content.decode()
    assert 'name="_save"' not in page
    crafted = dict.fromkeys([field.name for field in model._meta.fields], "1") | {"_save": "Save"}
    assert operator.post(path(model, "change", row.pk), crafted).status_code == 403
    inline = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": row.pk, "form-0-state": "live"}
    operator.post(path(model), {**inline, "_save": "Save"})
    if model is not Namespace:
        assert operator.get(path(model, "add")).status_code == 403
        assert operator.post(path(model, "add"), crafted).status_code == 403
    if model is not ApiToken:
        assert operator.post(path(model, "delete", row.pk), {"post": "yes"}).status_code == 403
        operator.post(path(model), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert list(model._base_manager.order_by("pk").values()) == before


def test_a_service_is_deployed_anew_as_an_action(operator, shop):
    deployment = fill(shop, 1)
    answer = operator.post(
        path(Service), {"action": "deploy", "_selected_action": [deployment.service_id]}, follow=True
    )
    assert "a new deployment is queued" in answer.content.decode()
    assert [row.by for row in deployment.service.deployments.all()] == ["joe", "admin"]


def test_a_deployment_is_tried_again_as_an_action_and_what_cannot_be_is_told(operator, shop):
    first = fill(shop, 2)
    operations.delete(namespace=shop, name="web0", version="latest", by=JOE)
    chosen = list(Deployment.objects.in_namespace(shop).values_list("pk", flat=True))
    answer = operator.post(path(Deployment), {"action": "retry", "_selected_action": chosen}, follow=True)
    page = answer.content.decode()
    assert "it is queued again" in page
    assert "There is no such deployment." in page
    assert first.service.deployments.count() == 2


def test_a_deployment_is_cancelled_as_an_action_and_what_cannot_be_is_told(operator, shop):
    deployment = fill(shop, 1)
    for told in ("it is cancelled.", "There is nothing to cancel"):
        chosen = {"action": "cancel", "_selected_action": [deployment.pk]}
        assert told in operator.post(path(Deployment), chosen, follow=True).content.decode()
    deployment.refresh_from_db()
    assert (deployment.state, deployment.reason) == ("cancelled", "Cancelled by admin.")


def test_staff_without_being_operators_have_no_actions(shop):
    deployment = fill(shop, 1)
    staff = User.objects.create_user("staff", "staff@shop.example", "x", is_staff=True)
    client = Client()
    client.force_login(staff)
    answer = client.post(path(Service), {"action": "deploy", "_selected_action": [deployment.service_id]})
    assert answer.status_code == 403
    assert deployment.service.deployments.count() == 1


def test_builds_are_told_by_what_became_of_them_with_their_log(operator, shop):
    built = fill(shop, 1)
    order = operations.Order(source="github.com/you/web")
    names = ("broken", "waiting")
    broken, waiting = [
        operations.deploy(namespace=shop, name=name, version="latest", order=order, by=JOE) for name in names
    ]
    rows = Deployment.objects.in_namespace(shop)
    rows.filter(pk=broken.pk).update(state="failed", reason="No Procfile <here>.", finished_at=now())
    for outcome, deployment in (("built", built), ("failed", broken), ("under way", waiting)):
        found = operator.get(path(Build), {"outcome": outcome}).context["cl"].result_list
        assert [row.pk for row in found] == [deployment.pk], outcome
    page = operator.get(path(Build, "change", broken.pk)).content.decode()
    assert "No Procfile &lt;here&gt;." in page
    assert f"/n/shop/deployments/{broken.pk}/log" in page
    assert path(Deployment, "change", broken.pk) in page


def test_the_name_of_a_user_stays(operator):
    """It is the id of their accounts."""
    joe = User.objects.get(username="joe")
    form = {"username": "admin2", "email": "joe@new.example", "is_active": "on"}
    assert operator.post(path(User, "change", joe.pk), form).status_code == 302
    joe.refresh_from_db()
    assert (joe.username, joe.email) == ("joe", "joe@new.example")


def test_a_namespace_is_made_with_its_schema(operator):
    form = {"slug": "fresh", "environment": "local"}
    assert operator.post(path(Namespace, "add"), form).status_code == 302
    made = Namespace.objects.get(slug="fresh")
    assert made.schema_name == f"ns_{made.pk}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM information_schema.schemata WHERE schema_name = %s", [made.schema_name])
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("slug", ["admin", "a--b", "shop", "UPPER"])
def test_a_namespace_that_cannot_be_is_refused_beside_its_field(operator, slug):
    answer = operator.post(path(Namespace, "add"), {"slug": slug, "environment": "local"})
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["slug"]


def test_a_member_is_added_once_and_their_role_changed(operator, shop):
    ann = User.objects.create_user("ann", "ann@shop.example", "x")
    form = {"user": ann.pk, "namespace": shop.pk, "role": "member"}
    assert operator.post(path(Membership, "add"), form).status_code == 302
    assert operator.post(path(Membership, "add"), form).context["adminform"].form.errors
    (row,) = Membership.objects.in_namespace(shop).filter(user=ann)
    assert operator.post(path(Membership, "change", row.pk), {"role": "admin"}).status_code == 302
    assert Membership.objects.in_namespace(shop).get(user=ann).role == "admin"
    assert operator.post(path(Membership, "delete", row.pk), {"post": "yes"}).status_code == 302
    assert not Membership.objects.in_namespace(shop).filter(user=ann).exists()


def test_who_is_no_admin_anywhere_changes_no_membership_by_the_admin_either(shop):
    """The operation asks, whatever rights Django's own tables give."""
    owner = Membership.objects.in_namespace(shop).get()
    rogue = User.objects.create_user("rogue", "rogue@x.example", "x", is_staff=True)
    rogue.is_superuser = True
    rogue.save()
    client = Client(headers={"host": "localhost"})
    client.force_login(rogue)
    form = {"user": rogue.pk, "namespace": shop.pk, "role": "admin"}
    assert client.post(path(Membership, "add"), form).status_code == 404
    assert client.post(path(Membership, "change", owner.pk), {"role": "member"}).status_code == 404
    assert client.post(path(Membership, "delete", owner.pk), {"post": "yes"}).status_code == 404
    chosen = {"action": "delete_selected", "_selected_action": [owner.pk], "post": "yes"}
    assert client.post(path(Membership), chosen).status_code == 404
    assert list(Membership.objects.in_namespace(shop).values_list("user", "role")) == [(owner.user_id, "admin")]


@pytest.mark.parametrize("username", ["a b", "a/b", "<b>", "x" * 151])
def test_a_user_has_a_name_that_every_door_takes(operator, username):
    form = {"username": username, "password1": "correct horse 1", "password2": "correct horse 1"}
    answer = operator.post(path(User, "add"), {**form, "usable_password": "true"})
    assert answer.context["adminform"].form.errors["username"]


def test_a_user_is_made_given_another_password_and_disabled(operator):
    form = {"username": "bob", "email": "bob@x.example", "password1": "correct horse 1", "password2": "correct horse 1"}
    assert operator.post(path(User, "add"), {**form, "usable_password": "true"}).status_code == 302
    bob = User.objects.get(username="bob")
    assert bob.check_password("correct horse 1")
    assert operator.get(f"/admin/tenants/user/{bob.pk}/password/").status_code == 200
    form = {"username": "bob", "email": "bob@x.example"}
    assert operator.post(path(User, "change", bob.pk), form).status_code == 302
    assert not User.objects.get(username="bob").is_active


def test_deleting_an_api_token_revokes_it(operator, shop):
    fill(shop, 1)
    (row,) = ApiToken.objects.in_namespace(shop)
    assert operator.post(path(ApiToken, "delete", row.pk), {"post": "yes"}).status_code == 302
    assert not ApiToken.objects.in_namespace(shop).exists()


def test_lists_take_as_many_queries_for_twenty_rows_as_for_one(operator, shop):
    def queries(model: type) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert operator.get(path(model)).status_code == 200
        return len(captured)

    fill(shop, 1)
    queries(User)  # the first of a session asks more
    few = {model: queries(model) for model in MODELS}
    fill(shop, 20, prefix="more")
    for number in range(10):
        user = User.objects.create_user(f"u{number}", f"u{number}@shop.example", "x")
        Membership.objects.create(user=user, namespace=shop)
        Namespace(pk=1000 + number, slug=f"n{number}", schema_name=f"ns_x{number}", environment_id="local").save()
    Deployment.objects.in_namespace(shop).update(created_at=now() - timedelta(hours=1))
    queries(User)
    assert {model: queries(model) for model in MODELS} == few


def test_no_page_of_the_admin_asks_another_host(operator, shop):
    fill(shop, 1)
    for model in MODELS:
        page = operator.get(path(model)).content.decode()
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
