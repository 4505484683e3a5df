"""Micro: write, run and call services.

    from micro import Service, Client

Names are loaded when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing for it would cost more than all of this file
if TYPE_CHECKING:
    from . import auth as auth
    from . import blob as blob
    from . import broker as broker
    from . import config as config
    from . import errors as errors
    from . import events as events
    from . import registry as registry
    from . import runtime as runtime
    from . import store as store
    from .client import Client as Client
    from .context import Context as Context
    from .service import Service as Service

__version__ = "0.1.0"
__all__ = [
    "Client",
    "Context",
    "Service",
    "auth",
    "blob",
    "broker",
    "config",
    "errors",
    "events",
    "registry",
    "runtime",
    "store",
]

_HOMES = {"Client": "client", "Context": "context", "Service": "service"}
_MODULES = ("auth", "blob", "broker", "config", "errors", "events", "registry", "runtime", "store")


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
