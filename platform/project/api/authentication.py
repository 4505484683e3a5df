"""Bearer tokens: the JWTs of the command line, and API tokens."""

from __future__ import annotations

from django.utils.timezone import now
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from micro.errors import Unauthenticated
from primitives.auth import tokens
from tenants import api_tokens
from transport.callers import Account


class Bearer(BaseAuthentication):
    """The account that the token in the header `Authorization` stands for. Cookies and queries are never looked at."""

    def authenticate(self, request: Request) -> tuple[Account, str] | None:
        """The account and its token; None without the header. Raises Unauthenticated for a token that is not good."""
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer":
            raise Unauthenticated("The header Authorization must be 'Bearer' and a token.")
        return _identify(token.strip()), token

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return 'Bearer realm="micro"'


def _identify(token: str) -> Account:
    if token.startswith(api_tokens.PREFIX):
        return api_tokens.identify(token, at=now())
    return tokens.verify(token).account
