from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from django.db import connections

from micro.errors import Unauthenticated
from primitives.auth import keys, tokens
from tenants.models import SigningKey
from transport.callers import Account

JOE = Account(id="joe", type="user", issuer="shop", name="Joe", scopes=("basic",), metadata={"a": "b"})
FOREIGN = generate_private_key(public_exponent=65537, key_size=2048)


def claims(**changes):
    whole = {"sub": "joe", "iss": "shop", "exp": int(time.time()) + 60, "type": "user", "name": "Joe", "scopes": []}
    whole |= {"metadata": {}, **changes}
    return {name: value for name, value in whole.items() if value is not None}


def signed(payload, *, key=None, algorithm="RS256", **headers):
    signer = keys.signer()
    return jwt.encode(payload, key or signer.key, algorithm=algorithm, headers={"kid": signer.kid, **headers})


def part(document) -> str:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(header, payload=None, signature=""):
    return f"{part(header)}.{part(payload or claims())}.{signature}"


def public_pem() -> bytes:
    return SigningKey.objects.get(kid=keys.signer().kid).public_key.encode()


def hmac_signed(secret: bytes) -> str:
    """Signed with HS256 and our public key as the secret; PyJWT refuses to make one, so by hand."""
    head = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': keys.signer().kid})}.{part(claims())}"
    return f"{head}.{part(hmac.new(secret, head.encode(), hashlib.sha256).digest())}"


def tampered(change):
    head, body, signature = signed(claims()).split(".")
    return ".".join(change(head, body, signature))


BAD = {
    "empty": lambda: "",
    "one part": lambda: "abc",
    "dots": lambda: "...",
    "not base64": lambda: "a b.c d.e f",
    "not ascii": lambda: "\u20ac.\u20ac.\u20ac",
    "a megabyte": lambda: "a" * 1_000_000,
    "deep header": lambda: f"{part(b'[' * 4000)}.{part(claims())}.x",
    **{
        f"alg {alg!r}": lambda alg=alg: unsigned({"alg": alg, "typ": "JWT", "kid": keys.signer().kid})
        for alg in ("none", "None", "nOnE", "NONE", "", None, 1, [], "RS256")
    },
    "alg none without kid": lambda: unsigned({"alg": "none"}),
    "HS256 by the public PEM": lambda: hmac_signed(public_pem()),
    "HS256 by the public DER": lambda: hmac_signed(
        serialization.load_pem_public_key(public_pem()).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ),
    "HS256 by an empty secret": lambda: hmac_signed(b""),
    "RS384": lambda: signed(claims(), algorithm="RS384"),
    "PS256": lambda: signed(claims(), algorithm="PS256"),
    "foreign key": lambda: signed(claims(), key=FOREIGN),
    "foreign key, own kid": lambda: signed(claims(), key=FOREIGN, kid="mine"),
    "foreign key, embedded": lambda: signed(
        claims(), key=FOREIGN, jwk=json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(FOREIGN.public_key()))
    ),
    "kid path": lambda: signed(claims(), kid="../../dev/null"),
    "kid sql": lambda: signed(claims(), kid="' OR 1=1 --"),
    "kid number": lambda: unsigned({"alg": "RS256", "kid": 1}),
    "no kid": lambda: unsigned({"alg": "RS256"}),
    "crit": lambda: signed(claims(), crit=["exp"]),
    "b64": lambda: signed(claims(), b64=False),
    "jwe": lambda: unsigned({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": keys.signer().kid}) + ".x.y",
    "no signature": lambda: tampered(lambda head, body, _: (head, body, "")),
    "truncated signature": lambda: tampered(lambda head, body, signature: (head, body, signature[:-8])),
    "another body": lambda: tampered(lambda head, _, signature: (head, part(claims(iss="micro")), signature)),
    "padding": lambda: tampered(lambda head, body, signature: (head, body, signature + "==", "x")),
    "expired": lambda: signed(claims(exp=int(time.time()) - 1)),
    "expiring now": lambda: signed(claims(exp=int(time.time()))),
    "not yet": lambda: signed(claims(nbf=int(time.time()) + 60)),
    "issued tomorrow": lambda: signed(claims(iat=int(time.time()) + 86400)),
    "for somebody else": lambda: signed(claims(aud="another")),
    **{f"no {name}": lambda name=name: signed(claims(**{name: None})) for name in claims()},
    "exp text": lambda: signed(claims(exp="tomorrow")),
    "scopes text": lambda: signed(claims(scopes=[1])),
    "scopes number": lambda: signed(claims(scopes=1)),
    "metadata list": lambda: signed(claims(metadata=[["a"]])),
    "metadata values": lambda: signed(claims(metadata={"a": 1})),
    "type list": lambda: signed(claims(type=["service"])),
    "name null": lambda: signed({**claims(), "name": None}),
}  # fmt: skip


def issue(expiry=timedelta(minutes=1), at=None):
    return tokens.issue(JOE, at=at or datetime.now(UTC), expiry=expiry)


@pytest.mark.django_db
def test_a_token_says_who_its_account_is():
    at = datetime.now(UTC)
    assert tokens.verify(issue(at=at)) == tokens.Claims(JOE, int((at + timedelta(minutes=1)).timestamp()))


@pytest.mark.django_db
@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_token_that_we_did_not_sign_as_it_is_now_is_refused(make):
    with pytest.raises(Unauthenticated, match=r"^invalid token provided$"):
        tokens.verify(make())


@pytest.mark.django_db(transaction=True)
async def test_the_sidecars_verifier_and_the_plain_one_agree():
    verifier = tokens.Verifier()
    for make in [issue, *BAD.values()]:
        token = await in_thread(make)
        assert await verdict(verifier.identify(token)) == await verdict(in_thread(tokens.verify, token)), make
    assert await verifier.identify(await in_thread(issue)) == JOE


async def verdict(attempt) -> bool:
    try:
        return await attempt is not None
    except Unauthenticated:
        return False


async def in_thread(function, *args):
    def call():
        try:
            return function(*args)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


@pytest.mark.django_db(transaction=True)
async def test_a_remembered_token_costs_no_verification_and_is_forgotten_when_it_expires(monkeypatch):
    verifier = tokens.Verifier()
    token = await in_thread(issue, timedelta(seconds=2))
    assert await verifier.identify(token) == JOE
    monkeypatch.setattr(tokens, "_verify", None)
    assert await verifier.identify(token) == JOE
    monkeypatch.setattr(tokens.time, "time", lambda: datetime.now(UTC).timestamp() + 2)
    with pytest.raises(Unauthenticated):
        await verifier.identify(token)


@pytest.mark.django_db(transaction=True)
async def test_the_signature_of_a_remembered_token_does_not_let_another_body_in():
    verifier = tokens.Verifier()
    head, body, signature = (await in_thread(issue)).split(".")
    await verifier.identify(f"{head}.{body}.{signature}")
    with pytest.raises(Unauthenticated):
        await verifier.identify(f"{head}.{part(claims(iss='micro'))}.{signature}")


@pytest.mark.django_db(transaction=True)
async def test_the_memory_for_tokens_is_bounded(monkeypatch):
    monkeypatch.setattr(tokens, "MAX_CACHED", 3)
    verifier = tokens.Verifier()
    for seconds in range(60, 70):
        await verifier.identify(await in_thread(issue, timedelta(seconds=seconds)))
    assert len(verifier._claims) == 3


@pytest.mark.django_db(transaction=True)
async def test_a_new_key_is_found_and_tokens_of_the_old_one_stay_good(monkeypatch):
    monkeypatch.setattr(tokens, "UNKNOWN_RELOAD_S", 0)
    verifier = tokens.Verifier()
    old = await in_thread(issue)
    assert await verifier.identify(old) == JOE
    await in_thread(lambda: keys.rotate(at=datetime.now(UTC) - keys.PUBLISHED_FOR))
    new = await in_thread(issue)
    assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
    assert await verifier.identify(new) == JOE
    assert await tokens.Verifier().identify(old) == JOE


@pytest.mark.django_db
def test_a_new_key_is_published_for_two_minutes_before_it_signs_and_then_alone_does():
    first = keys.signer().kid
    began = datetime.now(UTC)
    second = keys.rotate(at=began).kid
    third = keys.rotate(at=began + timedelta(minutes=1)).kid
    assert set(keys.public_keys()) == {first, second, third}
    at = {minutes: keys.signer(at=began + timedelta(minutes=minutes)).kid for minutes in (0, 1.9, 2.5, 3.1, 9000)}
    assert list(at.values()) == [first, first, second, third, third]


@pytest.mark.django_db
def test_a_rotation_clears_away_keys_that_verify_no_more():
    began = datetime.now(UTC)
    keys.signer()
    for days in (0, 2, 4):
        keys.rotate(at=began + timedelta(days=days))
    assert SigningKey.objects.count() == 2  # the one that signs, and the one that it succeeds


@pytest.mark.django_db
def test_the_command_makes_a_key_and_says_when_it_signs(capsys):
    from django.core.management import call_command

    call_command("rotate_keys")
    assert "signs in 2 minutes" in capsys.readouterr().out
    assert SigningKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
async def test_while_the_database_is_away_known_keys_go_on_to_verify(monkeypatch):
    from django.db import OperationalError

    def away():
        raise OperationalError("gone")

    verifier = tokens.Verifier()
    await verifier.identify(await in_thread(issue))
    later = await in_thread(issue, timedelta(minutes=9))
    monkeypatch.setattr(keys, "public_keys", away)
    monkeypatch.setattr(tokens, "RELOAD_S", 0)
    assert await verifier.identify(later) == JOE
    with pytest.raises(OperationalError):
        await tokens.Verifier().identify(later)


@pytest.mark.django_db
def test_a_key_verifies_for_a_day_after_it_was_retired():
    token = issue(timedelta(days=1))
    keys.rotate(at=datetime.now(UTC) - timedelta(hours=25))
    with pytest.raises(Unauthenticated):
        tokens.verify(token)


@pytest.mark.django_db
def test_the_published_key_set_verifies_tokens_and_holds_nothing_private():
    (key,) = keys.jwks()["keys"]
    assert set(key) == {"kty", "kid", "use", "alg", "n", "e"}
    assert jwt.decode(issue(), jwt.PyJWK(key).key, algorithms=["RS256"])["sub"] == "joe"


@pytest.mark.django_db
def test_the_private_key_is_stored_encrypted_and_another_secret_key_makes_a_new_one(settings):
    kid = keys.signer().kid
    assert b"PRIVATE KEY" not in bytes(SigningKey.objects.get().private_key)
    assert keys.signer().kid == kid
    settings.SECRET_KEY = "another"
    assert keys.signer().kid != kid
