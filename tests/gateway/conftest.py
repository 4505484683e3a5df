"""One Envoy for all tests of the gateway, and the servers behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.state import Service

from .backends import Grpc, Http
from .harness import Gateway


@pytest.fixture(scope="session")
def hello() -> Iterator[Grpc]:
    backend = Grpc()
    yield backend
    backend.stop()


@pytest.fixture(scope="session")
def site() -> Iterator[Http]:
    backend = Http()
    yield backend
    backend.stop()


@pytest.fixture(scope="session")
def sidecar(envoy: Gateway) -> Iterator[Grpc]:
    """Stands where the sidecar's socket is."""
    backend = Grpc(package="auth", handler="Auth", name="sidecar", address=f"unix:{envoy.state.sidecars[0]}")
    yield backend
    backend.stop()


@pytest.fixture(scope="session")
def envoy() -> Iterator[Gateway]:
    gateway = Gateway()
    gateway.start()
    yield gateway
    complaints = [line for line in gateway.log_text().splitlines() if "script log" in line]
    gateway.close()
    assert complaints == [], "the Lua failed in the course of the tests"


@pytest.fixture
def own() -> Iterator[Gateway]:
    """A gateway that a test may break."""
    gateway = Gateway()
    gateway.start()
    yield gateway
    gateway.close()


@pytest.fixture(scope="session")
def usual(hello: Grpc, site: Http) -> tuple[Service, ...]:
    """Services of two namespaces; `helloworld` and `web` exist in `foo`, `helloworld` also in `bar` (plain HTTP)."""
    return (
        Service("foo", "helloworld", "grpc", (hello.endpoint,), hello.descriptors),
        Service("foo", "v1.people", "grpc", (hello.endpoint,), hello.descriptors),
        Service("foo", "shop.cart", "grpc", (hello.endpoint,), hello.descriptors),
        Service("foo", "bare", "grpc", (hello.endpoint,)),
        Service("foo", "web", "http", (site.endpoint,)),
        Service("foo", "empty", "http", ()),
        Service("bar", "helloworld", "http", (site.endpoint,)),
        Service("micro", "helloworld", "grpc", (hello.endpoint,), hello.descriptors),
    )


@pytest.fixture
def gateway(envoy: Gateway, usual: tuple[Service, ...], sidecar: Grpc) -> Gateway:
    """The gateway with the usual services."""
    if envoy.state.services != usual or envoy.state.domains:
        envoy.serve(*usual, domains={})
    return envoy
