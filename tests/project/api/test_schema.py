"""Claims about the API's description of itself, and about what every route declares."""

from __future__ import annotations

import re

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.validation import validate_schema
from rest_framework.views import APIView

from micro import errors
from project.api import urls
from project.api.schema import document
from transport import callers
from transport.rest import Endpoint, EndpointWithoutScope, problem


def routes(patterns: list[URLPattern | URLResolver]) -> list[URLPattern]:
    return [
        route
        for pattern in patterns
        for route in (routes(pattern.url_patterns) if isinstance(pattern, URLResolver) else [pattern])
    ]


def scope(route: URLPattern) -> callers.Scope:
    return getattr(route.callback, "cls", route.callback).scope


def test_every_route_declares_who_may_call_it():
    found = routes(urls.urlpatterns)
    assert len(found) > 12
    for route in found:
        assert scope(route) in {callers.ANYONE, callers.ANY_ACCOUNT}, route


def test_only_what_shows_nothing_of_anybodys_is_open():
    found = [route.callback for route in routes(urls.urlpatterns) if scope(route) is callers.ANYONE]
    assert {getattr(view, "cls", view).__name__ for view in found} == {"Schema", "Missing", "docs"}


def test_no_view_of_the_framework_is_mounted_past_the_declaration():
    views = [route.callback.cls for route in routes(get_resolver().url_patterns) if hasattr(route.callback, "cls")]
    assert views
    assert all(issubclass(view, Endpoint) for view in views if issubclass(view, APIView))


def test_an_endpoint_without_a_scope_is_not_mounted():
    class Forgotten(Endpoint):
        pass

    with pytest.raises(EndpointWithoutScope, match="Forgotten"):
        Forgotten.as_view()


def test_the_description_is_openapi_3_1_without_warnings(capsys):
    document.cache_clear()
    assert document()["openapi"].startswith("3.1")
    validate_schema(document())
    assert capsys.readouterr().err == ""


def test_the_description_is_served_to_everybody(client):
    answer = client.get("/v1/schema")
    assert answer.status_code == 200
    assert answer.json()["paths"].keys() == document()["paths"].keys()


def test_every_call_has_a_text_and_says_what_it_refuses():
    for path, calls in document()["paths"].items():
        for method, call in calls.items():
            assert call["description"], (method, path)
            assert {"401", "403", "404", "default"} <= call["responses"].keys(), (method, path)
            assert call["security"] == [{"bearer": []}], (method, path)


def test_the_page_shows_every_call_and_asks_no_other_host(client):
    answer = client.get("/v1/docs")
    page = answer.content.decode()
    for calls in document()["paths"].values():
        for call in calls.values():
            assert f'id="{call["operationId"]}"' in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert "<script" not in page
    assert len(answer.content) < 60_000


def test_an_error_of_a_rooms_own_has_its_parents_document():
    class Elsewhere(errors.Unavailable):
        pass

    assert problem(Elsewhere("x"))["type"] == "urn:micro:error:unavailable"


def every(kind: type[errors.Error]) -> list[type[errors.Error]]:
    """The tree that all edges share; what a room derives from it for itself has its parent's document."""
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(found for child in children for found in every(child))]


@pytest.mark.parametrize("kind", every(errors.Error))
def test_every_error_has_a_problem_document_of_its_own(kind):
    found = problem(kind("It went wrong."))
    assert found["status"] == kind.http
    assert found["detail"].endswith("It went wrong.")
    assert re.fullmatch(r"urn:micro:error:[a-z-]+", found["type"])
    assert len({problem(other("x"))["type"] for other in every(errors.Error)}) == len(every(errors.Error))
