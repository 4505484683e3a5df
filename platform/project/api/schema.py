"""The API's description of itself: OpenAPI 3.1 and a page to read, which needs no other host."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from micro.errors import NotFound
from tenants.pages import page
from transport.callers import ANYONE, Scope
from transport.rest import Endpoint, Input

from .authentication import Bearer
from .reading import sections


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document; it depends on nothing but the code."""
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return found


def refuse_unknown_fields(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """Say of every body that it may hold nothing else."""
    names = {kind.__name__ for kind in _subclasses(Input)}
    for name, component in result["components"]["schemas"].items():
        if name in names:
            component["additionalProperties"] = False
    return result


def _subclasses(kind: type[Any]) -> set[type[Any]]:
    children: list[type[Any]] = kind.__subclasses__()
    return set(children).union(*(_subclasses(child) for child in children))


class BearerScheme(OpenApiAuthenticationExtension):
    """How the API's description shows it."""

    target_class = Bearer
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The security scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API token (`micro_…`), or the access token of `micro login`.",
        }


class Schema(Endpoint):
    """GET /v1/schema."""

    scope: ClassVar[Scope | None] = ANYONE

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """The OpenAPI document as JSON."""
        return JsonResponse(document())


class Missing(Endpoint):
    """Every path below /v1 that leads nowhere."""

    scope: ClassVar[Scope | None] = ANYONE
    schema = None

    def initial(self, request: Request, *arguments: Any, **options: Any) -> None:
        """Raises NotFound whatever the method and the token."""
        raise NotFound("There is no such path; see /v1/docs.")


@page(ANYONE)
@page(ANYONE)
def docs(request: HttpRequest) -> HttpResponse:
    """The page: every call with what it takes, gives and refuses, and a command that can be copied."""
    base = request.build_absolute_uri("/").rstrip("/")
    return render(request, "api/docs.html", {"sections": sections(document(), base), "info": document()["info"]})
