"""Namespaces and API tokens over REST: translate in, one call, translate out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.core.validators import RegexValidator
from django.urls import path, re_path, reverse
from django.utils.timezone import now
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from micro.errors import AlreadyExists, ResourceExhausted
from transport.callers import ANY_ACCOUNT, Scope
from transport.rest import Endpoint, Input, Number, Text, account, describe, following, listed, parse

from . import operations
from .access.actors import enter, needs, visible_namespaces
from .access.permissions import Permission
from .models import ApiToken, Namespace

MOST_DAYS = 366
ANY_SLUG = RegexValidator(r"^[a-z0-9-]+\Z", "This is no name of a namespace.")
SLUG = RegexValidator(r"^[a-z0-9](?:-?[a-z0-9])*\Z", "This is no name of a namespace.")


class Where(Input):
    """Which namespace."""

    namespace = Text(
        default="", allow_blank=True, validators=[ANY_SLUG], help_text="The token's own when it is left out."
    )


class NamespaceListing(Input):
    """Which namespaces."""

    after = Text(
        default="", allow_blank=True, validators=[ANY_SLUG], help_text="Only those whose names follow this one."
    )
    limit = serializers.IntegerField(default=50, min_value=1, max_value=100)


class NewNamespace(Input):
    """A namespace to make."""

    name = Text(max_length=40, validators=[SLUG])


class NewApiToken(Input):
    """An API token to make."""

    name = Text(max_length=60, help_text="To know it by.")
    role = serializers.ChoiceField(choices=ApiToken.Role.choices, default="member")
    expires_in_days = Number(default=90, min_value=1, max_value=MOST_DAYS)


class NamespaceDocument(serializers.Serializer):
    """A tenant's own part of the platform."""

    name = serializers.CharField()
    url = serializers.URLField()
    environment = serializers.CharField()
    created_at = serializers.DateTimeField()


class ApiTokenDocument(serializers.Serializer):
    """What is known of an API token; the token itself is not."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    hint = serializers.CharField(help_text="Its first characters.")
    role = serializers.ChoiceField(choices=ApiToken.Role.choices)
    owner = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")


class MadeApiTokenDocument(ApiTokenDocument):
    """An API token that has just been made."""

    token = serializers.CharField(help_text="Shown this once.")


class Namespaces(Endpoint):
    """/v1/namespaces."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe(
        "list_namespaces", needs(Permission.NAMESPACES_READ), query=NamespaceListing, answer=listed(NamespaceDocument)
    )
    def get(self, request: Request) -> Response:
        """The namespaces that the token can enter, by name: its own; for admins of the platform all."""
        query = parse(NamespaceListing, request.query_params)
        rows = list(visible_namespaces(account(request)).filter(slug__gt=query["after"])[: query["limit"]])
        items = [_namespace_document(row, request) for row in rows]
        return Response(
            {"items": items, "next": following(request, rows[-1].slug) if len(rows) == query["limit"] else None}
        )

    @describe(
        "create_namespace",
        needs(Permission.PLATFORM_OPERATE),
        body=NewNamespace,
        answer=NamespaceDocument,
        status=201,
        errors=[AlreadyExists],
    )
    def post(self, request: Request) -> Response:
        """Make a namespace; only admins of the platform may. Others get theirs by signing up."""
        data = parse(NewNamespace, request.data)
        document = _namespace_document(operations.found_namespace(slug=data["name"], by=account(request)), request)
        return Response(document, status=201, headers={"Location": document["url"]})


class OneNamespace(Endpoint):
    """/v1/namespaces/{name}."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe("read_namespace", needs(Permission.NAMESPACES_READ), answer=NamespaceDocument)
    def get(self, request: Request, name: str) -> Response:
        """A namespace that the token can enter."""
        return Response(_namespace_document(enter(account(request), name, Permission.NAMESPACES_READ), request))


class ApiTokens(Endpoint):
    """/v1/api-tokens."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe("list_api_tokens", needs(Permission.TOKENS_READ), query=Where, answer=listed(ApiTokenDocument))
    def get(self, request: Request) -> Response:
        """One's own API tokens in a namespace; for its admins those of all members."""
        query = parse(Where, request.query_params)
        by = account(request)
        rows = operations.visible_api_tokens(namespace=enter(by, query["namespace"], Permission.TOKENS_READ), by=by)
        return Response({"items": [_token_document(row) for row in rows], "next": None})

    @describe(
        "create_api_token",
        needs(Permission.TOKENS_WRITE),
        query=Where,
        body=NewApiToken,
        answer=MadeApiTokenDocument,
        status=201,
        errors=[AlreadyExists, ResourceExhausted],
    )
    def post(self, request: Request) -> Response:
        """Make an API token that acts for you. It takes a login: an API token makes no others."""
        query, data = parse(Where, request.query_params), parse(NewApiToken, request.data)
        by, at = account(request), now()
        expires_at = at + timedelta(days=data.pop("expires_in_days"))
        namespace = enter(by, query["namespace"], Permission.TOKENS_WRITE)
        row, token = operations.create_api_token(namespace=namespace, by=by, at=at, expires_at=expires_at, **data)
        return Response({**_token_document(row), "token": token}, status=201)


class OneApiToken(Endpoint):
    """/v1/api-tokens/{id}."""

    scope: ClassVar[Scope | None] = ANY_ACCOUNT

    @describe("revoke_api_token", needs(Permission.TOKENS_WRITE), query=Where, status=204)
    def delete(self, request: Request, id: UUID) -> Response:
        """Make an API token useless from now on."""
        query = parse(Where, request.query_params)
        by = account(request)
        namespace = enter(by, query["namespace"], Permission.TOKENS_WRITE)
        operations.revoke_api_token(namespace=namespace, token_id=id, by=by)
        return Response(status=204)


def _namespace_document(row: Namespace, request: Request) -> dict[str, Any]:
    return {
        "name": row.slug,
        "url": request.build_absolute_uri(reverse("api-namespace", kwargs={"name": row.slug})),
        "environment": row.environment_id,
        "created_at": row.created_at,
    }


def _token_document(row: ApiToken) -> dict[str, Any]:
    same = ("name", "hint", "role", "created_at", "expires_at", "last_used_at")
    return {"id": row.pk, "owner": row.membership.user.username, **{name: getattr(row, name) for name in same}}


urlpatterns = [
    path("namespaces", Namespaces.as_view(), name="api-namespaces"),
    re_path(r"^namespaces/(?P<name>[a-z0-9-]{1,40})\Z", OneNamespace.as_view(), name="api-namespace"),
    path("api-tokens", ApiTokens.as_view(), name="api-tokens"),
    path("api-tokens/<uuid:id>", OneApiToken.as_view(), name="api-token"),
]
