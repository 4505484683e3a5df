"""auth.Namespaces, auth.ApiTokens and auth.Platform on the wire: translate in, one call, translate out."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.utils.timezone import now

import micro
from micro.errors import InvalidArgument, NotFound
from micro.proto import auth_pb2 as wire
from transport.callers import Account, authorize, require_account
from transport.methods import ANYONE, Caller, Methods, unary
from transport.tenancy import in_public

from . import operations
from .access.actors import enter, needs, visible_namespaces
from .access.permissions import Permission
from .access.roles import USER, Role, role
from .models import ApiToken, Membership, Namespace

MOST_DAYS = 366


async def read_platform(_request: wire.ReadPlatformRequest, _caller: Caller) -> wire.ReadPlatformResponse:
    """Which version this is, where its pages are, and whether anybody may sign up."""
    return wire.ReadPlatformResponse(
        version=micro.__version__, web_url=settings.MICRO_WEB_URL, is_signup_open=settings.MICRO_SIGNUP_IS_OPEN
    )


async def list_namespaces(_request: wire.ListNamespacesRequest, caller: Caller) -> wire.ListNamespacesResponse:
    """The namespaces of who calls, by name: those that a user is a member of; for admins of the platform all."""
    return wire.ListNamespacesResponse(namespaces=await in_public(_namespaces_of, require_account(caller)))


async def create_namespace(request: wire.CreateNamespaceRequest, caller: Caller) -> wire.CreateNamespaceResponse:
    """Make a namespace; only admins of the platform may."""
    return wire.CreateNamespaceResponse(namespace=await in_public(_found, request.name, require_account(caller)))


async def list_api_tokens(request: wire.ListApiTokensRequest, caller: Caller) -> wire.ListApiTokensResponse:
    """One's own API tokens in a namespace; for its admins those of all members."""
    namespace = authorize(caller, request.options.namespace)
    return wire.ListApiTokensResponse(api_tokens=await in_public(_tokens_of, namespace, require_account(caller)))


async def create_api_token(request: wire.CreateApiTokenRequest, caller: Caller) -> wire.CreateApiTokenResponse:
    """Make an API token that acts for the caller; it can be read this once."""
    namespace = authorize(caller, request.options.namespace)
    return await in_public(_create_api_token, namespace, request, require_account(caller))


async def revoke_api_token(request: wire.RevokeApiTokenRequest, caller: Caller) -> wire.RevokeApiTokenResponse:
    """Make an API token useless from now on."""
    namespace = authorize(caller, request.options.namespace)
    try:
        token_id = UUID(request.id)
    except ValueError:
        raise NotFound("There is no such API token.") from None
    await in_public(_revoke, namespace, token_id, require_account(caller))
    return wire.RevokeApiTokenResponse()


def _namespaces_of(account: Account) -> list[wire.NamespaceInfo]:
    rows = visible_namespaces(account)
    roles: dict[str, str] = {account.issuer: str(role(account))}
    if account.type == USER and account.user_id is not None:
        joined = Membership.objects.across_namespaces().filter(user_id=account.user_id, user__is_active=True)
        if joined.filter(namespace__slug=account.issuer).exists():  # else they have left, and the token has not ended
            roles |= dict(joined.values_list("namespace__slug", "role"))
            rows = rows | Namespace.objects.filter(slug__in=roles)
    return [_namespace(row, roles.get(row.slug, "")) for row in rows.select_related("environment").order_by("slug")]


def _found(name: str, by: Account) -> wire.NamespaceInfo:
    return _namespace(operations.found_namespace(slug=name, by=by), "")


def _tokens_of(slug: str, by: Account) -> list[wire.ApiToken]:
    return [
        _token(row) for row in operations.visible_api_tokens(namespace=enter(by, slug, Permission.TOKENS_READ), by=by)
    ]


def _create_api_token(slug: str, request: wire.CreateApiTokenRequest, by: Account) -> wire.CreateApiTokenResponse:
    at, days = now(), request.expires_in_days
    if not 0 <= days <= MOST_DAYS:
        raise InvalidArgument(f"An API token is good for 1 to {MOST_DAYS} days, or until it is revoked.")
    row, token = operations.create_api_token(
        namespace=enter(by, slug, Permission.TOKENS_WRITE),
        name=request.name,
        role=request.role or Role.MEMBER,
        expires_at=at + timedelta(days=days) if days else None,
        by=by,
        at=at,
    )
    return wire.CreateApiTokenResponse(api_token=_token(row), token=token)


def _revoke(slug: str, token_id: UUID, by: Account) -> None:
    operations.revoke_api_token(namespace=enter(by, slug, Permission.TOKENS_WRITE), token_id=token_id, by=by)


def _namespace(row: Namespace, role: str) -> wire.NamespaceInfo:
    plan = row.plan_id or row.environment.plan_id
    created = _seconds(row.created_at)
    return wire.NamespaceInfo(name=row.slug, environment=row.environment_id, plan=plan, role=role, created=created)


def _token(row: ApiToken) -> wire.ApiToken:
    return wire.ApiToken(
        id=str(row.pk),
        name=row.name,
        hint=row.hint,
        role=row.role,
        owner=row.membership.user.username,
        created=_seconds(row.created_at),
        expires=_seconds(row.expires_at),
        last_used=_seconds(row.last_used_at),
    )


def _seconds(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0


METHODS: Methods = {
    "ApiTokens.Create": unary(
        create_api_token,
        request=wire.CreateApiTokenRequest,
        response=wire.CreateApiTokenResponse,
        scope=needs(Permission.TOKENS_WRITE),
    ),
    "ApiTokens.List": unary(
        list_api_tokens,
        request=wire.ListApiTokensRequest,
        response=wire.ListApiTokensResponse,
        scope=needs(Permission.TOKENS_READ),
    ),
    "ApiTokens.Revoke": unary(
        revoke_api_token,
        request=wire.RevokeApiTokenRequest,
        response=wire.RevokeApiTokenResponse,
        scope=needs(Permission.TOKENS_WRITE),
    ),
    "Namespaces.Create": unary(
        create_namespace,
        request=wire.CreateNamespaceRequest,
        response=wire.CreateNamespaceResponse,
        scope=needs(Permission.PLATFORM_OPERATE),
    ),
    "Namespaces.List": unary(
        list_namespaces,
        request=wire.ListNamespacesRequest,
        response=wire.ListNamespacesResponse,
        scope=needs(Permission.NAMESPACES_READ),
    ),
    "Platform.Read": unary(
        read_platform, request=wire.ReadPlatformRequest, response=wire.ReadPlatformResponse, scope=ANYONE
    ),
}
