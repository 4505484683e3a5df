"""Tokens at each of the three doors: only good ones are anybody's identity."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.envoy import bootstrap
from primitives.auth.keys import PUBLISHED_FOR
from transport.notifications import HEARTBEAT

from .backends import Grpc
from .harness import KEY, Gateway, error_of, jwks, token, wait_until

DOORS = ("api", "proxy", "network")
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def part(document: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def claims() -> dict[str, object]:
    return {"sub": "joe", "iss": "foo", "exp": int(datetime.now(UTC).timestamp()) + 300}


def unsigned(algorithm: str) -> str:
    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}."


def signed_by_public_key() -> str:
    body = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims())}"
    mac = hmac.digest(PUBLIC_PEM, body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def changed() -> str:
    head, _, signature = token("foo").split(".")
    return f"{head}.{part(claims() | {'iss': 'micro', 'scopes': ['admin']})}.{signature}"


def cut() -> str:
    head, body, signature = token("foo").split(".")
    return f"{head}.{body}.{signature[:-20]}"


BAD = {
    "expired": lambda: token(exp=datetime.now(UTC) - timedelta(seconds=3)),
    "expired a minute ago": lambda: token(exp=datetime.now(UTC) - timedelta(seconds=50)),
    "not yet": lambda: token(nbf=datetime.now(UTC) + timedelta(minutes=1)),
    "without expiry": lambda: token(exp=None),
    "without issuer": lambda: token(iss=None),
    "without subject": lambda: token(sub=None),
    "of another key": lambda: token(key=STRANGER),
    "of another key and kid": lambda: token(key=STRANGER, kid="two"),
    "kid as a path": lambda: token(key=STRANGER, kid="../../dev/null"),
    "changed": changed,
    "cut": cut,
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "alg nOnE": lambda: unsigned("nOnE"),
    "alg empty": lambda: unsigned(""),
    "HS256 by the public key": signed_by_public_key,
    "RS512": lambda: token(algorithm="RS512"),
    "PS256": lambda: token(algorithm="PS256"),
    "two parts": lambda: ".".join(token().split(".")[:2]),
    "no token": lambda: "",
    "words": lambda: "let me in",
    "large": lambda: "a" * 20_000,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_token_is_unauthenticated_and_reaches_nobody(gateway: Gateway, hello: Grpc, kind: str, door: str):
    calls = len(hello.seen)
    bearer = f"Bearer {BAD[kind]()}"
    error = error_of(
        lambda: gateway.call("/helloworld.Helloworld/Call", door=door, micro_namespace="foo", authorization=bearer)
    )
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert json.loads(error.details())["code"] == 401
    assert len(hello.seen) == calls


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_token_is_401_for_json_and_for_the_platforms_services(
    gateway: Gateway, hello: Grpc, sidecar: Grpc, kind: str
):
    calls = len(hello.seen), len(sidecar.seen)
    headers = {"micro-namespace": "foo", "authorization": f"Bearer {BAD[kind]()}".strip()}
    for path in ("/helloworld/call", "/bare/helloworld/call", "/auth/inspect"):
        answer = gateway.post(path, headers=headers, json={})
        assert answer.status_code == 401
        assert answer.json()["code"] == 401
        assert answer.json()["status"] == "Unauthorized"
    assert (len(hello.seen), len(sidecar.seen)) == calls


@pytest.mark.parametrize("door", DOORS)
def test_a_good_token_passes_and_is_handed_on(gateway: Gateway, hello: Grpc, door: str):
    bearer = f"Bearer {token('foo')}"
    gateway.call("/helloworld.Helloworld/Call", door=door, authorization=bearer)
    assert hello.seen[-1]["authorization"] == bearer
    assert hello.seen[-1]["micro-namespace"] == "foo"


def test_a_token_that_expires_while_cached_is_refused(gateway: Gateway, hello: Grpc):
    headers = {"authorization": f"Bearer {token('foo', exp=datetime.now(UTC) + timedelta(seconds=1))}"}
    assert gateway.get("/helloworld/call", headers=headers).status_code == 200
    time.sleep(3.2)  # its last second, one second of leeway, and rounding
    assert gateway.get("/helloworld/call", headers=headers).status_code == 401


def test_no_token_is_allowed_and_names_nobody(gateway: Gateway, hello: Grpc):
    gateway.call("/helloworld.Helloworld/Call", micro_namespace="foo")
    assert "authorization" not in hello.seen[-1]


@pytest.mark.parametrize("header", ["Basic am9lOnNlY3JldA==", "Bearer", "bearer-ish", "Token x"])
def test_another_scheme_is_refused_in_micros_words(gateway: Gateway, header: str):
    error = error_of(lambda: gateway.call("/helloworld.Helloworld/Call", micro_namespace="foo", authorization=header))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "expected Bearer schema" in error.details()


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_token_may_come_as_the_password_of_basic_credentials(gateway: Gateway, hello: Grpc):
    good = token("foo")
    assert gateway.post("/helloworld/call", headers=basic("joe", good), json={}).status_code == 200
    assert hello.seen[-1]["authorization"] == f"Bearer {good}"
    assert hello.seen[-1]["micro-namespace"] == "foo"
    assert "x-micro-token" not in hello.seen[-1]
    for bad in (BAD["changed"](), BAD["alg none"](), BAD["expired"](), "secret"):
        headers = basic("joe", bad) | {"micro-namespace": "foo"}
        assert gateway.post("/helloworld/call", headers=headers, json={}).status_code == 401


def test_basic_credentials_of_a_plain_http_service_are_its_own_affair(gateway: Gateway):
    for password in ("secret", token("foo")):
        headers = basic("joe", password) | {"micro-namespace": "foo"}
        seen = gateway.get("/web/get", headers=headers).json()["headers"]
        assert seen["authorization"] == headers["authorization"]
        assert "x-micro-token" not in seen


def test_a_token_in_the_gateways_own_header_is_no_identity(gateway: Gateway):
    assert gateway.get("/web/get", headers={"x-micro-token": token("foo")}).status_code == 404


def test_two_authorization_headers_are_no_identity(gateway: Gateway, hello: Grpc):
    calls = len(hello.seen)
    for pair in ((token("foo"), token("micro")), (token("foo"), "x"), ("x", token("foo"))):
        headers = [("micro-namespace", "foo"), *(("authorization", f"Bearer {each}") for each in pair)]
        assert gateway.get("/helloworld/call", headers=headers).status_code == 401
    assert len(hello.seen) == calls


def test_a_token_in_the_query_or_a_cookie_is_no_identity(gateway: Gateway):
    answer = gateway.get(f"/web/get?access_token={token('bar')}", headers={"cookie": f"micro-token={token('bar')}"})
    assert answer.status_code == 404  # namespace micro, which has no such service: the token was not looked at


def test_a_plain_http_service_sees_the_tokens_that_are_its_own_affair(gateway: Gateway):
    answer = gateway.get("/web/get", headers={"micro-namespace": "foo", "authorization": "Bearer opaque"})
    assert answer.json()["headers"]["authorization"] == "Bearer opaque"


def test_a_bad_token_does_not_choose_the_namespace(gateway: Gateway, hello: Grpc):
    answer = gateway.get("/web/get", headers={"authorization": f"Bearer {token('foo', key=STRANGER)}"})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "Jwt verification fails"


@pytest.fixture
def draining_soon(monkeypatch) -> Iterator[Gateway]:
    """A gateway whose connections live on under old keys for a second."""
    monkeypatch.setattr(bootstrap, "DRAIN_S", 1)
    gateway = Gateway()
    gateway.start()
    yield gateway
    gateway.close()


def test_a_new_key_is_published_for_longer_than_connections_live_under_the_keys_before_it():
    assert HEARTBEAT + timedelta(seconds=2 * bootstrap.DRAIN_S) < PUBLISHED_FOR


def test_keys_rotate_without_a_refused_token(draining_soon: Gateway, hello: Grpc, usual):
    """A new key joins the set, signs when connections have heard of it, the old one leaves: requests go on."""
    own = draining_soon
    own.serve(*usual)
    old, new = json.loads(jwks()), json.loads(jwks(STRANGER, "two"))
    both = json.dumps({"keys": old["keys"] + new["keys"]})
    tokens, refused, made = {"old": token("foo")}, [], [0]
    stop = threading.Event()

    def call_on() -> None:
        with httpx.Client(trust_env=False, timeout=10) as client:
            while not stop.is_set():
                for name, bearer in list(tokens.items()):
                    try:
                        answer = client.get(f"{own.api}/helloworld/call", headers={"authorization": f"Bearer {bearer}"})
                    except httpx.TransportError:
                        continue  # a connection that drained away, a second here: half a minute as it is run
                    made[0] += 1
                    if answer.status_code != 200:
                        refused.append((name, answer.status_code, answer.text))

    callers = [threading.Thread(target=call_on) for _ in range(4)]
    for caller in callers:
        caller.start()
    own.serve(*usual, jwks=both)
    time.sleep(2)
    tokens["new"] = token("foo", key=STRANGER, kid="two")
    time.sleep(1)
    del tokens["old"]
    time.sleep(0.2)
    own.serve(*usual, jwks=json.dumps(new))
    time.sleep(1)
    stop.set()
    for caller in callers:
        caller.join()
    assert refused == []
    assert made[0] > 100
    wait_until(
        lambda: own.get("/helloworld/call", headers={"authorization": f"Bearer {token('foo')}"}).status_code == 401,
        "the old key is worth nothing",
    )
