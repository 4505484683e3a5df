"""Whose calls these are: a running service's own account, else whoever logged in on this machine."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Protocol

from . import errors, home, tokens
from .tokens import Token

if TYPE_CHECKING:
    from .client import Client

EXPIRY_S = 600
MARGIN_S = 60  # a token that ends sooner is renewed before it is used


class Identity(Protocol):
    """Something with a valid access token, or none."""

    def access_token(self, client: Client) -> str:
        """Blank for nobody."""


def of_this_process(target: home.Target) -> Identity:
    id, secret = os.environ.get("MICRO_AUTH_ID", ""), os.environ.get("MICRO_AUTH_SECRET", "")
    return ServiceAccount(id, secret) if id and secret else Login(target)


class ServiceAccount:
    """An id and a secret, exchanged for short tokens. Safe to share between threads."""

    def __init__(self, id: str, secret: str) -> None:
        self._id, self._secret = id, secret
        self._token: Token | None = None
        self._lock = threading.Lock()

    def access_token(self, client: Client) -> str:
        with self._lock:
            if self._token is None or _is_ending(self._token):
                self._token = self._renewed(client)
            return self._token.access_token

    def _renewed(self, client: Client) -> Token:
        from . import auth

        if self._token is not None:
            try:
                return auth.refresh(self._token.refresh_token, expiry_s=EXPIRY_S, client=client)
            except (errors.InvalidArgument, errors.Unauthenticated):
                self._token = None  # too old to be renewed; the secret still is good
        return auth.token(id=self._id, secret=self._secret, expiry_s=EXPIRY_S, client=client)


class Login:
    """What `micro login` left in `~/.micro`. Renewed when it is about to end; nobody when it cannot be."""

    def __init__(self, target: home.Target) -> None:
        self._target = target
        self._token: Token | None = None
        self._lock = threading.Lock()

    def access_token(self, client: Client) -> str:
        with self._lock:
            if self._token is None or _is_ending(self._token):
                self._token = self._current(client)
            return self._token.access_token if self._token else ""

    def _current(self, client: Client) -> Token | None:
        saved = tokens.read(self._target)
        if saved is None or not _is_ending(saved):
            return saved
        with tokens.renewing():  # of two processes at once one asks, and the other takes what it got
            saved = tokens.read(self._target)
            return self._renewed(saved, client) if saved and _is_ending(saved) else saved

    def _renewed(self, saved: Token, client: Client) -> Token | None:
        from . import auth

        try:
            token = auth.refresh(saved.refresh_token, expiry_s=EXPIRY_S, client=client)
        except errors.Unavailable:
            raise
        except errors.Error:
            return None
        with contextlib.suppress(OSError):  # on a disk that takes nothing the old one goes on to be good
            if not tokens.renew(self._target, token):
                keep(self._target, token, client)
        return token


def keep(target: home.Target, token: Token, client: Client) -> None:
    """Save a token under the id of its account."""
    from . import auth

    account = auth.inspect(token.access_token, client=client)
    tokens.save(target, account=account.id, token=token)


def _is_ending(token: Token) -> bool:
    return token.expiry <= time.time() + MARGIN_S
