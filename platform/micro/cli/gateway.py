"""Where the gateway has a service that speaks HTTP."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from micro.client import Client


def of_any(service: str, namespace: str) -> str:
    """By its path, as words to go on with behind "Open it at"; the client knows of no other gateway than the usual."""
    host = "localhost" if namespace == "micro" else f"{namespace}.localhost"
    return f"the gateway, on a server of this machine http://{host}:8080/{service}/"


def of(service: str, client: Client) -> str:
    """The same, and first the own host of a service that the platform runs, which the platform knows."""
    from micro import errors, runtime

    address = ""
    with contextlib.suppress(errors.Error):  # who is not logged in reads the registry, and nothing of the runtime
        found = runtime.read(service, client=client)
        address = next((known.metadata["address"] for known in found if known.metadata.get("address")), "")
    return f"{address}, or at /{service}/ of the gateway" if address else of_any(service, client.namespace)
