"""Tokens for private repositories: how a host is shown one, and that no other host ever is."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from micro.errors import InvalidArgument

from .git import Source

LONGEST = 4096
USER = "x-access-token"  # GitHub wants this name; GitLab, Gitea and their kin take any
USERS = {"bitbucket.org": "x-token-auth"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token, or `user:password`, and the one place that it is for, as `scheme://authority`."""

    place: str
    value: str = field(repr=False)

    @classmethod
    def of(cls, source: Source, value: str) -> Token:
        """The token for the host of `source`."""
        return cls(_place(source), value)

    def authorization(self, source: Source) -> str:
        """The header `Authorization` for requests to `source`; blank where it leads to another host."""
        if not self.value or _place(source) != self.place:
            return ""
        login = self.value if ":" in self.value else f"{USERS.get(source.host, USER)}:{self.value}"
        return f"Basic {base64.b64encode(login.encode()).decode()}"


def require(value: str) -> str:
    """The token. Raises InvalidArgument, without repeating it, for what none can be."""
    if len(value) > LONGEST or not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidArgument(f"A git token is at most {LONGEST} printable characters without spaces.")
    return value


def _place(source: Source) -> str:
    return f"{source.scheme}://{source.authority}"
