"""Bytes and JSON that mean nothing, to every method of auth, registry, network and router."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micro.proto import auth_pb2, registry_pb2

from .test_isolation import SERVICES, TRIES

pytestmark = pytest.mark.django_db  # so that there is a database; what the sidecar sees is committed

METHODS = sorted(method for method in TRIES if method.split(".")[0] in SERVICES and "Watch" not in method)
TEXTS = st.text(max_size=40) | st.sampled_from(["", "\0", "shop", "*", "../x", "a" * 300, "🦀", "joe", "-1"])
BOUNDED = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
NEVER = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}


def send(caller, method: str, payload: bytes, **headers: str):
    service, handler, name = method.split(".")
    sent = caller.headers | {key.replace("_", "-"): value for key, value in headers.items()}
    try:
        caller.channel.unary_unary(f"/{service}.{handler}/{name}")(payload, metadata=tuple(sent.items()), timeout=20)
    except grpc.RpcError as error:
        return error
    return None


def require_kept(error) -> None:
    assert error is None or error.code() not in NEVER, error.details()


@pytest.fixture
def admin(log_in, monkeypatch):
    """Who may do everything: what is refused is refused for what it is."""
    caller = log_in("micro", "admin", "micro")
    monkeypatch.setattr("primitives.auth.secrets.seal_chosen", lambda _secret: "no hash, no wait")
    monkeypatch.setattr("primitives.auth.secrets.check_password", lambda _secret, _stored: False)
    return caller


@BOUNDED
@given(method=st.sampled_from(METHODS), payload=st.binary(max_size=200))
def test_any_bytes_end_in_an_answer_or_an_error_of_the_callers(admin, method, payload):
    require_kept(send(admin, method, payload))


@BOUNDED
@given(method=st.sampled_from(METHODS), payload=st.binary(max_size=80) | TEXTS.map(lambda text: text.encode()))
def test_any_json_frame_too(admin, method, payload):
    require_kept(send(admin, method, payload, x_content_type="application/json"))


@BOUNDED
@given(
    id=TEXTS, scope=TEXTS, type=TEXTS, name=TEXTS, endpoint=TEXTS,
    priority=st.integers(-(2**31), 2**31 - 1), access=st.integers(0, 5),
)  # fmt: skip
def test_any_rule_is_taken_or_refused(admin, *, id, scope, type, name, endpoint, priority, access):
    resource = auth_pb2.Resource(type=type, name=name, endpoint=endpoint)
    rule = auth_pb2.Rule(id=id, scope=scope, resource=resource, access=access, priority=priority)
    options = auth_pb2.Options(namespace="shop")
    payload = auth_pb2.CreateRequest(rule=rule, options=options).SerializeToString()
    require_kept(send(admin, "auth.Rules.Create", payload))
    require_kept(send(admin, "auth.Rules.Delete", auth_pb2.DeleteRequest(id=id, options=options).SerializeToString()))


@BOUNDED
@given(id=TEXTS, old=TEXTS, new=TEXTS, ns=TEXTS, expiry=st.integers(-(2**63), 2**63 - 1))
def test_any_account_is_taken_or_refused(admin, id, old, new, ns, expiry):
    options = auth_pb2.Options(namespace=ns)
    for method, request in {
        "auth.Auth.Token": auth_pb2.TokenRequest(id=id, secret=old, token_expiry=expiry, options=options),
        "auth.Auth.Inspect": auth_pb2.InspectRequest(token=old),
        "auth.Accounts.Delete": auth_pb2.DeleteAccountRequest(id=id, options={"namespace": "rival"}),
        "auth.Accounts.ChangeSecret": auth_pb2.ChangeSecretRequest(id=id, old_secret=old, options=options),
    }.items():
        if id not in ("eve", "joe", "admin"):
            require_kept(send(admin, method, request.SerializeToString()))


@BOUNDED
@given(
    name=TEXTS, id=TEXTS, address=TEXTS | st.from_regex(r"127\.0\.0\.1:\d{1,6}", fullmatch=True),
    ttl=st.integers(-(2**63), 2**63 - 1), metadata=st.dictionaries(TEXTS, TEXTS, max_size=3), version=TEXTS,
)  # fmt: skip
def test_any_announcement_is_taken_or_refused(admin, *, name, id, address, ttl, metadata, version):
    node = registry_pb2.Node(id=id, address=address, metadata=metadata)
    options = registry_pb2.Options(ttl=ttl, domain="shop")
    service = registry_pb2.Service(name=name, version=version, nodes=[node], metadata=metadata, options=options)
    require_kept(send(admin, "registry.Registry.Register", service.SerializeToString()))
    require_kept(send(admin, "registry.Registry.Deregister", service.SerializeToString()))
