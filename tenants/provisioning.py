"""What upper rooms need done when a namespace is born. They register it in `AppConfig.ready()`."""

from __future__ import annotations

from collections.abc import Callable

from .models import Namespace

Provisioner = Callable[[Namespace], None]

_provisioners: list[Provisioner] = []


def register(provisioner: Provisioner) -> None:
    """Run `provisioner` in the transaction of every `create_namespace` from now on."""
    if provisioner not in _provisioners:
        _provisioners.append(provisioner)


def provision(namespace: Namespace) -> None:
    """Run every registered provisioner, in the order of registration."""
    for provisioner in _provisioners:
        provisioner(namespace)
