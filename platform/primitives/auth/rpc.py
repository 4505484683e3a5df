"""auth.Auth and auth.Accounts on the wire. auth.Rules has an app of its own."""

from __future__ import annotations

from datetime import timedelta

from django.utils.timezone import now

from micro.errors import InvalidArgument, Unauthenticated
from micro.proto import auth_pb2
from tenants.access.actors import needs
from tenants.access.grants import require_may_give
from tenants.access.permissions import Permission, Reach
from tenants.access.roles import USER
from tenants.operations import ensure_namespace
from transport import callers
from transport.callers import PLATFORM_NAMESPACE, Caller, authorize, require_account
from transport.methods import ANYONE, Methods, unary
from transport.tenancy import in_public, in_tenant

from . import operations, tokens
from .operations import Claim, NewAccount


async def token(request: auth_pb2.TokenRequest, caller: Caller) -> auth_pb2.TokenResponse:
    """Exchange an id and its secret, or a refresh token, for an access token and the next refresh token."""
    namespace = request.options.namespace or PLATFORM_NAMESPACE
    life = expiry(request.token_expiry)
    if request.refresh_token:
        given = await in_tenant(
            namespace, operations.refresh, namespace=namespace, token=request.refresh_token, expiry=life, at=now()
        )
    elif request.id and request.secret:
        claim = Claim(id=request.id, secret=request.secret, address=caller.address)
        given = await in_tenant(namespace, operations.log_in, claim, namespace=namespace, expiry=life, at=now())
    else:
        raise InvalidArgument("Credentials or a refresh token required")
    return auth_pb2.TokenResponse(token=shown(given))


async def inspect(request: auth_pb2.InspectRequest, _caller: Caller) -> auth_pb2.InspectResponse:
    """The account that an access token stands for."""
    try:
        claims = await tokens.verifier.get().claims(request.token)
    except Unauthenticated as error:
        raise InvalidArgument(error.detail) from None  # it is the argument that is bad, not the caller
    return auth_pb2.InspectResponse(account=_account(claims.account))


async def generate(request: auth_pb2.GenerateRequest, caller: Caller) -> auth_pb2.GenerateResponse:
    """Make an account with a secret of its own. An admin of the platform's namespace makes the namespace, too."""
    namespace = authorize(caller, request.options.namespace)
    by = require_account(caller)
    require_may_give(by, request.scopes)
    if by.crosses_namespaces:
        await in_public(ensure_namespace, slug=namespace)
    new = NewAccount(
        id=request.id,
        name=request.name,
        type="" if request.type == USER and namespace != by.issuer else request.type,  # of the first of a namespace
        secret=request.secret,
        scopes=list(request.scopes),
        metadata=dict(request.metadata),
    )
    account, secret = await in_tenant(namespace, operations.generate, new, namespace=namespace, by=by)
    answer = _account(operations.caller(account, namespace=namespace))
    answer.secret = secret
    return auth_pb2.GenerateResponse(account=answer)


async def list_accounts(request: auth_pb2.ListAccountsRequest, caller: Caller) -> auth_pb2.ListAccountsResponse:
    """Every account of the namespace, without secrets."""
    namespace = authorize(caller, request.options.namespace)
    accounts = await in_tenant(namespace, operations.accounts_of, namespace=namespace)
    return auth_pb2.ListAccountsResponse(accounts=map(_account, accounts))


async def delete_account(request: auth_pb2.DeleteAccountRequest, caller: Caller) -> auth_pb2.DeleteAccountResponse:
    """Remove an account; its access tokens end by themselves, its refresh tokens at once."""
    namespace = authorize(caller, request.options.namespace)
    await in_tenant(namespace, operations.delete, namespace=namespace, id=request.id, by=require_account(caller))
    return auth_pb2.DeleteAccountResponse()


async def change_secret(request: auth_pb2.ChangeSecretRequest, caller: Caller) -> auth_pb2.ChangeSecretResponse:
    """Give an account another secret, which for a member is the password."""
    namespace = authorize(caller, request.options.namespace)
    claim = Claim(id=request.id, secret=request.old_secret, address=caller.address)
    await in_tenant(
        namespace,
        operations.change_secret,
        claim,
        namespace=namespace,
        new_secret=request.new_secret,
        by=require_account(caller),
        at=now(),
    )
    return auth_pb2.ChangeSecretResponse()


def expiry(seconds: int) -> timedelta:
    """How long a token shall be good; 0 leaves it to the platform. Raises InvalidArgument for less."""
    if seconds < 0:
        raise InvalidArgument("token_expiry must not be negative")
    return timedelta(seconds=min(seconds, int(operations.MAX_EXPIRY.total_seconds())))


def shown(given: operations.Tokens) -> auth_pb2.Token:
    """Tokens as they travel."""
    return auth_pb2.Token(
        access_token=given.access,
        refresh_token=given.refresh,
        created=int(given.created_at.timestamp()),
        expiry=int(given.expires_at.timestamp()),
    )


def _account(account: callers.Account) -> auth_pb2.Account:
    return auth_pb2.Account(
        id=account.id,
        type=account.type,
        issuer=account.issuer,
        name=account.name,
        scopes=account.scopes,
        metadata=account.metadata,
    )


METHODS: Methods = {
    "Auth.Token": unary(token, request=auth_pb2.TokenRequest, response=auth_pb2.TokenResponse, scope=ANYONE),
    "Auth.Inspect": unary(inspect, request=auth_pb2.InspectRequest, response=auth_pb2.InspectResponse, scope=ANYONE),
    "Auth.Generate": unary(
        generate,
        request=auth_pb2.GenerateRequest,
        response=auth_pb2.GenerateResponse,
        scope=needs(Permission.ACCOUNTS_WRITE),
    ),
    "Accounts.List": unary(
        list_accounts,
        request=auth_pb2.ListAccountsRequest,
        response=auth_pb2.ListAccountsResponse,
        scope=needs(Permission.ACCOUNTS_READ),
    ),
    "Accounts.Delete": unary(
        delete_account,
        request=auth_pb2.DeleteAccountRequest,
        response=auth_pb2.DeleteAccountResponse,
        scope=needs(Permission.ACCOUNTS_WRITE, least=Reach.ALL),
    ),
    "Accounts.ChangeSecret": unary(
        change_secret,
        request=auth_pb2.ChangeSecretRequest,
        response=auth_pb2.ChangeSecretResponse,
        scope=needs(Permission.SECRET_CHANGE),
    ),
}
