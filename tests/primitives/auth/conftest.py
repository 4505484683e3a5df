"""The sidecar's own tables before a database with tenants in it: namespaces micro, shop of joe and rival of eve."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import pytest
from django.db import connections

from primitives.auth.tokens import verifier
from primitives.rules import models as rules
from primitives.rules.gatekeeper import Gatekeeper
from project.sidecar import Sidecar as Platform
from tests.primitives.serving import Sidecar
from transport.database import dsn

R = TypeVar("R")


@pytest.fixture(scope="module")
def _tenants(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Committed, since the sidecar looks from other connections, and made once: a schema takes a second."""
    from tenants.models import Attempts, Budget, DeviceLogin, EmailCode, Membership, Namespace, SigningKey, User
    from tenants.operations import bootstrap, create_namespace

    with django_db_blocker.unblock():
        bootstrap(admin_password="micro")
        for slug, owner in (("shop", "joe"), ("rival", "eve")):
            create_namespace(slug=slug, owner=User.objects.create_user(owner, password=f"{owner}-secret"))
        yield
        for namespace in Namespace.objects.all():
            namespace.delete(force_drop=True)
        for model in (Attempts, Budget, DeviceLogin, EmailCode, User, SigningKey):
            model.objects.all().delete()
        Membership.objects.across_namespaces().delete()
        gc.collect()


def committed(function: Callable[[], R]) -> R:
    """What `function` returns, called outside of the test's own transaction: the sidecar sees what it does."""

    def call() -> R:
        try:
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


@dataclass
class Caller:
    """A stock gRPC client of the sidecar, as one account."""

    channel: grpc.Channel
    headers: dict[str, str]

    def call(self, path: str, request: Any, returns: Any, **headers: str) -> Any:
        """One answer of `/auth.Auth/Token`."""
        stub = self.channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=returns.FromString
        )
        sent = self.headers | {key.replace("_", "-"): value for key, value in headers.items()}
        return stub(request, metadata=tuple(sent.items()), timeout=20)


@pytest.fixture
def platform(_tenants, django_db_blocker, settings) -> Iterator[Sidecar]:
    """Everything that a sidecar mounts, on a TCP port, with the rules of the platform applied."""
    settings.MICRO_PROFILE = "local"
    made, keeper = Platform(index=0, database=dsn()), Gatekeeper()
    with (
        django_db_blocker.unblock(),
        Sidecar(made.services, lambda token: verifier.get().identify(token), permit=keeper.permit).running() as running,
    ):
        running._do(made._reader.open())
        running._do(keeper.load())
        running.keeper = keeper
        yield running
        running._do(made._reader.close())
        committed(lambda: rules.Rule.objects.across_namespaces().delete())


@pytest.fixture
def log_in(platform: Sidecar) -> Iterator[Any]:
    """A caller by namespace, id and secret; nobody without."""
    from micro.proto import auth_pb2

    with grpc.insecure_channel(platform.address) as channel:
        nobody = Caller(channel, {})

        def log_in(namespace: str = "", id: str = "", secret: str = "", **options: Any) -> Caller:
            if not namespace:
                return nobody
            request = auth_pb2.TokenRequest(id=id, secret=secret, options={"namespace": namespace}, **options)
            token = nobody.call("/auth.Auth/Token", request, auth_pb2.TokenResponse).token
            return Caller(channel, {"authorization": f"Bearer {token.access_token}"})

        yield log_in
