"""Access tokens: RS256 JWTs with Micro's claims."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from micro.errors import Unauthenticated
from transport.callers import Account
from transport.database import PerLoop
from transport.failures import AWAY
from transport.tenancy import in_public

from . import keys

ALGORITHM = "RS256"
MAX_TOKEN_CHARACTERS = 16 * 1024
MAX_CACHED = 10_000
RELOAD_S = 60.0
UNKNOWN_RELOAD_S = 1.0  # not at once for every kid that somebody makes up
USER = "user"  # the claim that says which person it is; accounts without one behind them lack it
CLAIMS = ("sub", "iss", "exp", "type", "name", "scopes", "metadata")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says, and until when (unix seconds)."""

    account: Account
    expires_at: int


def issue(account: Account, *, at: datetime, expiry: timedelta) -> str:
    """A token that says who `account` is, for `expiry`."""
    signer = keys.signer()
    claims = {
        "sub": account.id,
        "iss": account.issuer,
        "exp": int((at + expiry).timestamp()),
        "type": account.type,
        "name": account.name,
        "scopes": list(account.scopes),
        "metadata": dict(account.metadata),
        **({} if account.user_id is None else {USER: account.user_id}),
    }
    return jwt.encode(claims, signer.key, algorithm=ALGORITHM, headers={"kid": signer.kid})


def verify(token: str) -> Claims:
    """What the token says; raises Unauthenticated unless it was signed by a key of ours and has not expired."""
    return _verify(token, keys.public_keys())


class Verifier:
    """Verifies on the event loop: a token once, then from memory until it expires."""

    def __init__(self) -> None:
        self._claims: OrderedDict[str, Claims] = OrderedDict()  # by the whole token: a signature alone proves nothing
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._loaded_at = float("-inf")
        self._loading = asyncio.Lock()

    async def claims(self, token: str) -> Claims:
        """What the token says; raises Unauthenticated like `verify`."""
        claims = self._claims.get(token)
        if claims is None:
            claims = _verify(token, await self._keys_for(token))
            self._remember(token, claims)
        if claims.expires_at <= time.time():
            self._claims.pop(token, None)
            raise _invalid()
        return claims

    async def identify(self, token: str) -> Account:
        """The token's account; raises Unauthenticated like `verify`."""
        return (await self.claims(token)).account

    async def close(self) -> None:
        """Forget everything."""
        self._claims.clear()

    def _remember(self, token: str, claims: Claims) -> None:
        self._claims[token] = claims
        while len(self._claims) > MAX_CACHED:
            self._claims.popitem(last=False)

    async def _keys_for(self, token: str) -> Mapping[str, RSAPublicKey]:
        """The keys, as new as `RELOAD_S`, and for a kid that is not among them as `UNKNOWN_RELOAD_S`."""
        kid = _kid(token)
        async with self._loading:
            age = time.monotonic() - self._loaded_at
            if age > (RELOAD_S if kid in self._keys else UNKNOWN_RELOAD_S):
                await self._load(kid)
        return self._keys

    async def _load(self, kid: str) -> None:
        """Read the keys; while the database is away those of before do, when `kid` is among them."""
        try:
            self._keys = await in_public(keys.public_keys)
        except AWAY:
            if kid not in self._keys:
                raise
        self._loaded_at = time.monotonic()


def _verify(token: str, public_keys: Mapping[str, RSAPublicKey]) -> Claims:
    key = public_keys.get(_kid(token))
    if key is None:
        raise _invalid()
    try:
        claims = jwt.decode(token, key, algorithms=[ALGORITHM], options={"require": list(CLAIMS)})
        return Claims(_account(claims), int(claims["exp"]))
    except (jwt.InvalidTokenError, TypeError, ValueError, AttributeError):
        raise _invalid() from None


def _kid(token: str) -> str:
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise _invalid()
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise _invalid() from None
    kid = header.get("kid")
    if not isinstance(kid, str) or {"crit", "b64", "zip", "enc"} & header.keys():
        raise _invalid()
    return kid


def _account(claims: Mapping[str, Any]) -> Account:
    texts = [claims[name] for name in ("sub", "iss", "type", "name")]
    scopes, metadata, user_id = claims["scopes"], claims["metadata"], claims.get(USER)
    if not all(isinstance(text, str) for text in [*texts, *scopes, *metadata, *metadata.values()]):
        raise TypeError("a claim has another type than ours")
    if user_id is not None and not isinstance(user_id, int):
        raise TypeError("the user is no number")
    id, issuer, type, name = texts
    return Account(id=id, type=type, issuer=issuer, name=name, scopes=tuple(scopes), metadata=metadata, user_id=user_id)


def _invalid() -> Unauthenticated:
    return Unauthenticated("invalid token provided")


verifier: PerLoop[Verifier] = PerLoop(Verifier)  # one cache for all calls of a process
