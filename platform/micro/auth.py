"""Accounts and tokens, as the platform's auth service keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    metadata: Mapping[str, str]


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


def generate(
    id: str, *, secret: str = "", type: str = "", scopes: Sequence[str] = (), client: Client | None = None
) -> tuple[Account, str]:
    """A new account in the client's namespace, and its secret: the given one, else one made for it."""
    from .proto import auth_pb2

    client = _client(client)
    request = auth_pb2.GenerateRequest(id=id, secret=secret, type=type, scopes=scopes)
    request.options.namespace = client.namespace
    reply = client.invoke("auth", "Auth.Generate", request, auth_pb2.GenerateResponse)
    return _account(reply.account), reply.account.secret


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


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
