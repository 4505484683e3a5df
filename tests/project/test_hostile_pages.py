"""Claims about pages in hostile hands: markup in whatever is shown, forged forms, foreign hosts, borrowed sessions."""

from __future__ import annotations

import uuid
from functools import reduce
from html import escape
from importlib import import_module

import pytest
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core import mail
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils.timezone import now
from joining import PASSWORD, join

from runtime.models import Build, Deployment, Release, Replica, Service
from tenants.models import ApiToken, Environment, Membership, Namespace, User
from tenants.operations import bootstrap

pytestmark = pytest.mark.django_db
MARK = "</pre></textarea>\"'><svg/onload=hostile()>{{ 7 }}"
HERE = {"host": "localhost"}


@pytest.fixture(autouse=True)
def server(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # these claims are not about its cost
    bootstrap(admin_password="micro")


@pytest.fixture
def joe() -> tuple[User, Namespace]:
    return join()


@pytest.fixture
def browser(joe) -> Client:
    client = Client(headers=HERE)
    client.force_login(joe[0])
    return client


@pytest.fixture
def hostile(joe) -> Deployment:
    """A failed deployment of a service whose every text, past all rules of names, is markup."""
    user, namespace = joe
    User.objects.filter(pk=user.pk).update(username=MARK)
    texts = {"source": f"https://{MARK}", "namespace": namespace}
    service = Service.objects.create(name="shop", owner=MARK, **texts)
    more = {"state": "failed", "reason": MARK, "finished_at": now(), "lease_until": now()}
    more |= {"folder": MARK, "command": [MARK], "env": {MARK: MARK}, "secrets": {f"S{MARK}": 1}, "by": MARK}
    deployment = Deployment.objects.in_namespace(namespace).create(service=service, **texts, **more)
    release = Release.objects.create(
        service=service, deployment=deployment, number=1, digest=MARK, command=[MARK], folder=MARK, env={MARK: MARK}
    )
    Replica.objects.in_namespace(namespace).create(
        namespace=namespace, service=service, release=release, index=0, reason=MARK, crashes=2
    )
    membership = Membership.objects.in_namespace(namespace).get(user=user)
    ApiToken.objects.in_namespace(namespace).create(
        namespace=namespace, membership=membership, name=MARK[:60], role="member", digest="d", hint="<b>"
    )
    return deployment


def test_markup_is_text_on_every_page_of_a_namespace(browser, hostile):
    paths = ["", "deploy", "tokens", "services/shop", f"deployments/{hostile.pk}"]
    pages = [browser.get(f"/n/joe/{path}").content.decode() for path in paths]
    pages.append(browser.post("/n/joe/services/shop/variables", {"name-0": MARK, "value-0": MARK}).content.decode())
    form = dict.fromkeys(["repository", "ref", "folder", "name", "variables", "secrets"], MARK)
    pages.append(browser.post("/n/joe/deploy", form).content.decode())
    pages.append(browser.post("/n/joe/tokens", {"name": f" {MARK}\x07", "role": MARK, "days": "30"}).content.decode())
    browser.post("/n/joe/services/shop/delete", {"name": MARK})
    pages.append(browser.get("/n/joe/services/shop").content.decode())
    pages.append(browser.get("/n/joe/deploy/check", {"repository": MARK}).content.decode())
    for page in pages:
        assert "<svg/" not in page
        assert "hostile()" in page or "<form" in page
    assert sum(escape(MARK) in page for page in pages) >= 7


def test_markup_is_text_on_the_pages_for_everybody():
    stranger = Client(headers=HERE)
    typed = {"name": MARK, "email": MARK, "password": MARK, "code": MARK, "namespace": MARK, "next": MARK}
    pages = [stranger.post(path, typed) for path in ("/login", "/signup", "/signup/code", "/reset", "/reset/code")]
    query = {"email": MARK, "next": MARK, "namespace": MARK}
    names = ("login", "signup", "signup-code", "reset", "reset-code", "check-namespace")
    pages += [stranger.get(reverse(name), query) for name in names]
    pages += [stranger.get(f"/{MARK}"), stranger.get(f"/n/{MARK}/"), stranger.get("/v1/docs", query)]
    for page in pages:
        assert "<svg/" not in page.content.decode()
        assert page["Content-Type"].startswith("text/html")


def test_markup_is_text_on_every_page_of_the_admin(hostile):
    operator = Client()
    operator.force_login(User.objects.get(username="admin"))
    escaped = 0
    for model in (Environment, Namespace, User, Membership, ApiToken, Service, Deployment, Build, Release, Replica):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._base_manager.order_by("-pk").first()
        for page in (
            operator.get(reverse(f"{name}_changelist"), {"q": MARK}),
            operator.get(reverse(f"{name}_changelist")),
            operator.get(reverse(f"{name}_change", args=[row.pk])),
        ):
            assert page.status_code == 200
            assert "<svg/" not in page.content.decode()
            escaped += "hostile()" in page.content.decode()
    assert escaped > 15


def test_what_is_no_page_of_ours_is_never_taken_for_one(browser, hostile):
    """Logs as text: what a service prints must not become a page of this host."""

    for answer in (browser.get("/v1/schema"), browser.get("/v1/none"), browser.get("/signup/namespace")):
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer["Content-Security-Policy"]


def with_post(resolver: URLResolver, prefix: str = "/") -> list[str]:
    """The URL of every page of ours that takes forms."""
    found = []
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += with_post(entry, path)
        elif isinstance(entry, URLPattern) and "POST" in getattr(entry.callback, "methods", ()):
            found.append(path)
    return found


def test_every_form_of_ours_is_refused_when_another_site_sends_it(joe):
    victim = Client(headers=HERE, enforce_csrf_checks=True)
    victim.force_login(joe[0])
    before, sent = list(Membership._base_manager.values()), len(mail.outbox)
    paths = with_post(get_resolver())
    assert len(paths) > 12
    values = {"<slug:namespace>": "joe", "<uuid:id>": str(uuid.uuid4()), "<str:name>": "shop"}
    for path in paths:
        url = reduce(lambda url, kind: url.replace(kind, values[kind]), values, path)
        for origin in ("https://evil.example", "null"):
            answer = victim.post(url, {"email": "a@b.org", "name": "x"}, headers={"origin": origin})
            assert answer.status_code == 403, path
    assert (list(Membership._base_manager.values()), len(mail.outbox)) == (before, sent)
    assert victim.get("/n/joe/").status_code == 200


def test_no_host_header_gets_into_an_e_mail_or_a_redirect():
    stranger = Client(headers={"host": "127.0.0.1:666", "x-forwarded-host": "evil.example"})
    assert stranger.post("/reset", {"email": "a@b.org"})["Location"].startswith("/reset/code")
    assert settings.MICRO_WEB_URL in mail.outbox[-1].body
    for word in ("666", "evil"):
        assert word not in mail.outbox[-1].body
    assert stranger.get("/n/joe/")["Location"] == "/login?next=/n/joe/"
    assert "evil" not in stranger.get("/v1/docs").content.decode()


@pytest.mark.parametrize(
    "email", ['"<b>"@x.org', '"a b"@x.org', '"\x01"@x.org', "a@b.org\nBcc: c@d.org", "a@b.org,c@d.org"]
)
def test_an_address_that_may_hold_anything_gets_no_e_mail(email):
    answer = Client(headers=HERE).post("/signup", {"email": email})
    assert answer.status_code in {400, 422}
    assert list(answer.context["form"].errors) == ["email"]
    assert not mail.outbox


def test_a_session_that_was_planted_before_the_login_is_none_after_it(joe):
    planted = import_module(settings.SESSION_ENGINE).SessionStore()
    planted["seen"] = 1
    planted.create()
    victim = Client(headers=HERE)
    victim.cookies[settings.SESSION_COOKIE_NAME] = planted.session_key
    victim.post("/login", {"name": "joe@example.org", "password": PASSWORD})
    assert victim.get("/n/joe/").status_code == 200
    thief = Client(headers=HERE)
    thief.cookies[settings.SESSION_COOKIE_NAME] = planted.session_key
    assert thief.get("/n/joe/").status_code == 302
    assert SESSION_KEY not in import_module(settings.SESSION_ENGINE).SessionStore(planted.session_key)


def test_a_session_that_was_copied_ends_with_the_logout(browser):
    thief = Client(headers=HERE)
    thief.cookies[settings.SESSION_COOKIE_NAME] = browser.cookies[settings.SESSION_COOKIE_NAME].value
    assert thief.get("/n/joe/").status_code == 200
    browser.post("/logout")
    assert thief.get("/n/joe/").status_code == 302
