"""Names that upper rooms have given in a namespace. They register how to ask in `AppConfig.ready()`."""

from __future__ import annotations

from collections.abc import Callable

from micro.errors import AlreadyExists
from tenants.models import Namespace

IsTaken = Callable[[Namespace, str], bool]

_askers: list[IsTaken] = []


def register(asker: IsTaken) -> None:
    """Ask `asker` before anybody becomes a member."""
    if asker not in _askers:
        _askers.append(asker)


def require_free(namespace: Namespace, username: str) -> None:
    """Raises AlreadyExists when something else goes by that name in the namespace: nobody takes another for it."""
    if any(is_taken(namespace, username) for is_taken in _askers):
        raise AlreadyExists(
            f"There is an account {username!r} in {namespace} already: delete it, or take another name."
        )
