"""Accounts, tokens and access rules of the namespace.

    account, secret = auth.generate("billing", scopes=["invoices"])
    auth.create_rule(auth.Rule("staff", scope="*", name="shop", endpoint="/admin/*", priority=1))

Each function has a twin for `await`, with an `a` before its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message

from . import aio
from .persistence import persistently

if TYPE_CHECKING:
    from .client import Client
    from .proto import auth_pb2
    from .tokens import Token


@dataclass(frozen=True, slots=True)
class Account:
    """Who somebody is: `issuer` is the namespace the account belongs to."""

    id: str
    type: str
    issuer: str
    name: str
    scopes: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call what. The first rule that fits, by priority and then by id, decides; without one nobody may.

    `scope` is "" (everybody), `*` (accounts of the namespace), `+` (accounts of any namespace) or a scope's name.
    `type`, `name` and `endpoint` say what it is about: `*` is anything, an endpoint is `Handler.Method`, a path, or
    `/prefix/*`.
    """

    id: str
    scope: str = ""
    type: str = "service"
    name: str = "*"
    endpoint: str = "*"
    granted: bool = True
    priority: int = 0


M = TypeVar("M", bound=Message)


def token(*, id: str, secret: str, expiry_s: int = 600, client: Client | None = None) -> Token:
    """A token for an account of the client's namespace. Raises an Error that says what does not match."""
    from .proto import auth_pb2

    return _exchange(auth_pb2.TokenRequest(id=id, secret=secret, token_expiry=expiry_s), client)


def refresh(refresh_token: str, *, expiry_s: int = 600, client: Client | None = None) -> Token:
    """A new token for an old one's refresh token."""
    from .proto import auth_pb2

    return _exchange(auth_pb2.TokenRequest(refresh_token=refresh_token, token_expiry=expiry_s), client)


def inspect(token: str, *, client: Client | None = None) -> Account:
    """Whose token it is. Raises InvalidArgument or Unauthenticated for a token that is not valid."""
    from .proto import auth_pb2

    request = auth_pb2.InspectRequest(token=token)
    reply = _client(client).invoke("auth", "Auth.Inspect", request, auth_pb2.InspectResponse, anonymous=True)
    return _account(reply.account)


def generate(  # noqa: PLR0913 - what an account is made of
    id: str,
    *,
    secret: str = "",
    name: str = "",
    type: str = "",
    scopes: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    client: Client | None = None,
) -> tuple[Account, str]:
    """A new account, and its secret: the given one, else one made for it. Raises AlreadyExists.

    Who is no admin gives only scopes of their own.
    """
    from .proto import auth_pb2 as pb

    client = _client(client)
    request = pb.GenerateRequest(id=id, secret=secret, name=name, type=type, scopes=scopes, metadata=metadata)
    request.options.namespace = client.namespace
    reply = client.invoke("auth", "Auth.Generate", request, pb.GenerateResponse)
    return _account(reply.account), reply.account.secret


def accounts(*, client: Client | None = None) -> list[Account]:
    """The namespace's accounts, by id. For admins."""
    from .proto import auth_pb2 as pb

    return [
        _account(each)
        for each in _invoke("Accounts.List", pb.ListAccountsRequest(), pb.ListAccountsResponse, client).accounts
    ]


def delete(id: str, *, client: Client | None = None) -> None:
    """Remove an account, by id or name; its refresh tokens end with it. For admins, and not for one's own."""
    from .proto import auth_pb2 as pb

    _invoke("Accounts.Delete", pb.DeleteAccountRequest(id=id), pb.DeleteAccountResponse, client, is_repeatable=False)


def change_secret(id: str, *, new: str, old: str = "", client: Client | None = None) -> None:
    """Give an account another secret; its refresh tokens end. Admins may do without the old one of others."""
    from .proto import auth_pb2 as pb

    request = pb.ChangeSecretRequest(id=id, old_secret=old, new_secret=new)
    _invoke("Accounts.ChangeSecret", request, pb.ChangeSecretResponse, client, is_repeatable=False)


def rules(*, client: Client | None = None) -> list[Rule]:
    """The rules that hold in the namespace, in the order in which they are applied."""
    from .proto import auth_pb2 as pb

    reply = _invoke("Rules.List", pb.ListRequest(), pb.ListResponse, client)
    return [_rule(each) for each in reply.rules]


def create_rule(rule: Rule, *, client: Client | None = None) -> None:
    """Make a rule; it acts within a second. Raises AlreadyExists. For admins."""
    from .proto import auth_pb2 as pb

    message = pb.Rule(
        id=rule.id,
        scope=rule.scope,
        resource=pb.Resource(type=rule.type, name=rule.name, endpoint=rule.endpoint),
        access=pb.GRANTED if rule.granted else pb.DENIED,
        priority=rule.priority,
    )
    _invoke("Rules.Create", pb.CreateRequest(rule=message), pb.CreateResponse, client, is_repeatable=False)


def delete_rule(id: str, *, client: Client | None = None) -> None:
    """Take a rule away; one that is not there is no error. For admins."""
    from .proto import auth_pb2 as pb

    _invoke("Rules.Delete", pb.DeleteRequest(id=id), pb.DeleteResponse, client)


def platform(*, client: Client | None = None) -> auth_pb2.ReadPlatformResponse:
    """Which version the platform is, where its pages are, and whether anybody may sign up."""
    from .proto import auth_pb2 as pb

    request, returns = pb.ReadPlatformRequest(), pb.ReadPlatformResponse
    return _client(client).invoke("auth", "Platform.Read", request, returns, anonymous=True)


def namespaces(*, client: Client | None = None) -> list[auth_pb2.NamespaceInfo]:
    """The namespaces that a user is a member of, by name; for admins of the platform all."""
    from .proto import auth_pb2 as pb

    reply = _client(client).invoke("auth", "Namespaces.List", pb.ListNamespacesRequest(), pb.ListNamespacesResponse)
    return list(reply.namespaces)


def create_namespace(name: str, *, client: Client | None = None) -> auth_pb2.NamespaceInfo:
    """Make a namespace. For admins of the platform; raises AlreadyExists."""
    from .proto import auth_pb2 as pb

    request, returns = pb.CreateNamespaceRequest(name=name), pb.CreateNamespaceResponse
    return _client(client).invoke("auth", "Namespaces.Create", request, returns, timeout_s=30).namespace


def api_tokens(*, client: Client | None = None) -> list[auth_pb2.ApiToken]:
    """One's own API tokens in the namespace; for its admins those of all members."""
    from .proto import auth_pb2 as pb

    return list(_invoke("ApiTokens.List", pb.ListApiTokensRequest(), pb.ListApiTokensResponse, client).api_tokens)


def create_api_token(
    name: str, *, role: str = "", expires_in_days: int = 0, client: Client | None = None
) -> tuple[auth_pb2.ApiToken, str]:
    """A token by which a program acts for oneself, and its text, which is told this once. Raises AlreadyExists."""
    from .proto import auth_pb2 as pb

    request = pb.CreateApiTokenRequest(name=name, role=role, expires_in_days=expires_in_days)
    made = _invoke("ApiTokens.Create", request, pb.CreateApiTokenResponse, client, is_repeatable=False)
    return made.api_token, made.token


def revoke_api_token(id: str, *, client: Client | None = None) -> None:
    """Make an API token useless from now on. Raises NotFound."""
    from .proto import auth_pb2 as pb

    request = pb.RevokeApiTokenRequest(id=id)
    _invoke("ApiTokens.Revoke", request, pb.RevokeApiTokenResponse, client, is_repeatable=False)


atoken = aio.call(token)
arefresh = aio.call(refresh)
ainspect = aio.call(inspect)
agenerate = aio.call(generate)
aaccounts = aio.call(accounts)
adelete = aio.call(delete)
achange_secret = aio.call(change_secret)
arules = aio.call(rules)
acreate_rule = aio.call(create_rule)
adelete_rule = aio.call(delete_rule)
aplatform = aio.call(platform)
anamespaces = aio.call(namespaces)
acreate_namespace = aio.call(create_namespace)
aapi_tokens = aio.call(api_tokens)
acreate_api_token = aio.call(create_api_token)
arevoke_api_token = aio.call(revoke_api_token)


def _invoke(
    endpoint: str, request: Message, returns: type[M], client: Client | None, *, is_repeatable: bool = True
) -> M:
    """One call in the client's namespace."""
    chosen = _client(client)
    request.options.namespace = chosen.namespace  # type: ignore[attr-defined]
    return persistently(lambda: chosen.invoke("auth", endpoint, request, returns), is_repeatable=is_repeatable)


def _exchange(request: auth_pb2.TokenRequest, client: Client | None) -> Token:
    from .proto import auth_pb2
    from .tokens import Token

    client = _client(client)
    request.options.namespace = client.namespace
    made = client.invoke("auth", "Auth.Token", request, auth_pb2.TokenResponse, anonymous=True).token
    return Token(made.access_token, made.refresh_token, made.created, made.expiry)


def _account(message: auth_pb2.Account) -> Account:
    return Account(
        id=message.id,
        type=message.type,
        issuer=message.issuer,
        name=message.name or message.id,
        scopes=tuple(message.scopes),
        metadata=dict(message.metadata),
    )


def _rule(message: auth_pb2.Rule) -> Rule:
    from .proto import auth_pb2

    return Rule(
        id=message.id,
        scope=message.scope,
        type=message.resource.type,
        name=message.resource.name,
        endpoint=message.resource.endpoint,
        granted=message.access == auth_pb2.GRANTED,
        priority=message.priority,
    )


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
