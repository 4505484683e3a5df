"""What one server is made of: its folders, its addresses, and which servers it embeds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from project.profiles import DEFAULT_ADMIN_PASSWORD

URLS = {"postgres": "DATABASE_URL", "valkey": "CELERY_BROKER_URL", "nats": "NATS_URL"}
ADDRESSES = ("MICRO_WEB_ADDRESS", "MICRO_API_ADDRESS", "MICRO_PROXY_ADDRESS", "MICRO_NETWORK_ADDRESS")


@dataclass(frozen=True, slots=True)
class Plan:
    """One server. `embedded` names the servers that it brings itself, because their URL is unset.

    `has_known_login` says that a first start makes the admin with the documented password, `has_login` that it makes
    one at all.
    """

    root: Path
    home: Path
    run: Path
    profile: str
    addresses: Mapping[str, tuple[str, int]]
    embedded: frozenset[str]
    sidecars: int
    builds: int = 8  # at a time
    has_known_login: bool = True
    has_login: bool = True

    @property
    def logs(self) -> Path:
        """Where each process has its log."""
        return self.home / "logs"

    def log(self, program: str) -> Path:
        """The log of one process."""
        return self.logs / f"{program}.log"

    @property
    def supervisor_socket(self) -> Path:
        """Where supervisor takes orders, from us and from supervisorctl."""
        return self.run / "supervisor.sock"


def from_settings() -> Plan:
    """The plan that the environment asks for."""
    return Plan(
        root=settings.ROOT,
        home=settings.MICRO_HOME,
        run=settings.MICRO_RUN,
        profile=settings.MICRO_PROFILE,
        addresses={name: getattr(settings, name) for name in ADDRESSES},
        embedded=frozenset(name for name, variable in URLS.items() if not os.environ.get(variable, "").strip()),
        sidecars=settings.MICRO_SIDECAR_PROCESSES,
        builds=settings.MICRO_BUILDS,
        has_known_login=settings.MICRO_ADMIN_PASSWORD == DEFAULT_ADMIN_PASSWORD,
        has_login=bool(settings.MICRO_ADMIN_PASSWORD),
    )


def text(address: tuple[str, int]) -> str:
    """An address as host:port."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(address: tuple[str, int]) -> str:
    """An address as this machine's own clients write it: localhost for loopback and for all interfaces."""
    host, port = address
    local = {"127.0.0.1", "::1", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return text(("localhost" if host in local else host, port))
