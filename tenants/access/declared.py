"""No method without a permission: a process that mounts one does not start."""

from __future__ import annotations

from collections.abc import Mapping

from transport.callers import ANYONE
from transport.methods import Methods

from .actors import Needs


class MethodWithoutPermission(RuntimeError):
    """A method does not say which permission it asks for; a process that mounts it must not start."""


def require_declared(services: Mapping[str, Methods]) -> None:
    """Raises MethodWithoutPermission, naming every method that is neither for ANYONE nor says what it needs.

    Those without any scope the server refuses itself.
    """
    bare = [
        f"{service}.{name}"
        for service, methods in services.items()
        for name, method in methods.items()
        if method.scope not in (None, ANYONE) and not isinstance(method.scope, Needs)
    ]
    if bare:
        raise MethodWithoutPermission(f"Without a permission: {', '.join(bare)}.")
