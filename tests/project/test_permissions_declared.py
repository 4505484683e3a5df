"""Every URL says who may use it; the test walks all of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, get_resolver, include, path
from django.urls.resolvers import RegexPattern
from django.views.generic import RedirectView, View

import project.urls
from tenants.access.permissions import Permission
from transport.callers import ANY_ACCOUNT

GUARDED_BY_DJANGO = {"admin"}  # its own site asks has_permission for each view


def patterns(resolver: URLResolver, prefix: str = "", space: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every URL with its namespace and view."""
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, path, space or entry.namespace or "")
        elif isinstance(entry, URLPattern):
            yield path, space, entry.callback


def scope(view: Any) -> Any:
    """Who may use a view: a page says it itself, an endpoint on its class."""
    own = getattr(view, "scope", None)
    return own or getattr(getattr(view, "cls", None) or getattr(view, "view_class", None), "scope", None)


def undeclared(resolver: URLResolver) -> list[str]:
    """The URLs that do not say who may use them."""
    return [path for path, space, view in patterns(resolver) if space not in GUARDED_BY_DJANGO and scope(view) is None]


def test_every_url_declares_who_may_use_it():
    assert undeclared(get_resolver()) == []
    assert len(list(patterns(get_resolver()))) > 60


def test_every_page_of_a_namespace_declares_the_permission_that_it_needs_there():
    pages = [(path, view) for path, _, view in patterns(get_resolver()) if "<slug:namespace>" in path]
    assert len(pages) > 10
    for url, view in pages:
        assert isinstance(getattr(view, "permission", None), Permission), url
        assert scope(view) is ANY_ACCOUNT, url


def test_what_the_admin_shows_is_guarded_by_its_own_site():
    views = [view for _, space, view in patterns(get_resolver()) if space == "admin"]
    assert len(views) > 10
    assert all(is_guarded(view) for view in views)


def is_guarded(view: Any) -> bool:
    """Whether the admin's site asks who may use a view."""
    return hasattr(view, "admin_site") or hasattr(view, "model_admin") or is_harmless(view)


def is_harmless(view: Any) -> bool:
    """Whether a view of the admin leads to another of its pages, is the login, which ours stands before, or the page
    for another's password, which asks for the permission to change users itself."""
    if inspect.unwrap(view) is inspect.unwrap(UserAdmin.user_change_password):
        return True
    return getattr(view, "view_class", None) is RedirectView or view == admin.site.login


def test_the_admins_own_login_form_which_has_no_limits_is_never_reached(client):
    for method in (client.get, client.post):
        answer = method("/admin/login/?next=/admin/", headers={"host": "localhost"})
        assert answer.headers["location"] == "/login?next=/admin/"


def test_a_url_without_a_declaration_would_be_found(monkeypatch):
    """However it comes in: on the root, below a namespace, as a class, or under an admin that is not the admin's."""

    class Forgotten(View):
        pass

    def forgotten(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    more = ([path("inner", forgotten), path("class", Forgotten.as_view())], "app")
    added = [path("new", forgotten), path("n/<slug:namespace>/", include(more))]
    monkeypatch.setattr("project.urls.urlpatterns", [*project.urls.urlpatterns, *added])
    assert undeclared(URLResolver(RegexPattern(r"^/"), "project.urls")) == [
        "new",
        "n/<slug:namespace>/inner",
        "n/<slug:namespace>/class",
    ]


def test_a_page_that_only_wears_the_admins_name_would_be_found(monkeypatch):
    stray = path("stray", lambda request: HttpResponse())
    monkeypatch.setattr("project.urls.urlpatterns", [path("x/", include(([stray], "admin"), namespace="admin"))])
    views = [view for _, _, view in patterns(URLResolver(RegexPattern(r"^/"), "project.urls"))]
    assert [is_guarded(view) for view in views] == [False]
