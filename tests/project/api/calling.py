"""Calling the REST API in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils.timezone import now

from primitives.auth import tokens
from tenants.models import User
from transport.callers import Account


@dataclass
class Caller:
    """Calls with a bearer token."""

    token: str

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        content = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        sent = {"authorization": f"Bearer {self.token}", **headers}
        return Client(raise_request_exception=False).generic(method, f"/v1{path}", headers=sent, **content)

    def get(self, path: str) -> Any:
        return self("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self("POST", path, body)


def caller(user: str, namespace: str, *scopes: str, type: str = "user") -> Caller:
    found = User.objects.filter(username=user).first() if type == "user" else None
    user_id = found.pk if found else None
    account = Account(id=user, type=type, issuer=namespace, name=user, scopes=scopes, user_id=user_id)
    return Caller(tokens.issue(account, at=now(), expiry=timedelta(minutes=5)))
