"""The permissions that a word names."""

from __future__ import annotations

from .permissions import GRANTABLE, Permission


def named(word: str) -> frozenset[Permission]:
    """The permissions that a grant or scope names: `store.read` one, `store.*` all of its kind. Other words none."""
    return _NAMED.get(word, frozenset())


def _words() -> dict[str, frozenset[Permission]]:
    words = {str(permission): frozenset({permission}) for permission in GRANTABLE}
    for permission in GRANTABLE:
        every = f"{permission.partition('.')[0]}.*"
        words[every] = words.get(every, frozenset()) | {permission}
    return words


_NAMED = _words()
