"""Signing up, logging in by a browser, namespaces and API tokens over the wire."""

from __future__ import annotations

import json

import grpc
import pytest
from django.core import mail
from django.utils.timezone import now

from micro.proto import auth_pb2, signup_pb2
from tenants import devices
from tenants.models import User
from tests.joining import PASSWORD, code_of
from tests.primitives.auth.conftest import committed

pytestmark = pytest.mark.django_db  # so that there is a database; what the sidecar sees is committed


def refusal(call) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, json.loads(caught.value.details())["detail"]


def sign(caller, method, **fields):
    request = getattr(signup_pb2, f"{method}Request" if method != "Send" else "SendVerificationEmailRequest")
    returns = getattr(signup_pb2, request.__name__.replace("Request", "Response"))
    name = request.__name__.removesuffix("Request")
    return caller.call(f"/signup.Signup/{name}", request(**fields), returns)


def namespaces(caller):
    reply = caller.call(
        "/auth.Namespaces/List", auth_pb2.ListNamespacesRequest(), auth_pb2.ListNamespacesResponse
    ).namespaces
    return {each.name: each.role for each in reply}


def bearer(caller, token):
    return type(caller)(caller.channel, {"authorization": f"Bearer {token}"})


def test_a_code_makes_a_user_who_is_logged_in_in_a_namespace_of_their_own(log_in):
    nobody, email = log_in(), "ann@example.org"
    sign(nobody, "Send", email="Ann@Example.org")
    code = code_of(email)
    sign(nobody, "Verify", email=email, token=code)
    made = sign(nobody, "CompleteSignup", email=email, token=code, secret=PASSWORD, namespace="anns")
    assert made.namespace == "anns"
    ann = bearer(nobody, made.authToken.access_token)
    assert namespaces(ann) == {"anns": "admin"}
    assert log_in("anns", email, PASSWORD)
    assert refusal(lambda: sign(nobody, "Verify", email=email, token=code))[0] == "INVALID_ARGUMENT"


def test_without_a_name_the_namespace_is_named_after_the_address(log_in):
    sign(log_in(), "Send", email="bob.b@example.org")
    code = code_of("bob.b@example.org")
    made = sign(log_in(), "CompleteSignup", email="bob.b@example.org", token=code, secret=PASSWORD)
    assert made.namespace.startswith("bob-b-")


def test_nothing_but_the_mail_tells_whether_an_address_has_an_account(log_in):
    committed(lambda: User.objects.create_user("known@example.org", email="known@example.org", password=PASSWORD))
    for address in ("known@example.org", "unknown@example.org"):
        assert sign(log_in(), "Send", email=address) == signup_pb2.SendVerificationEmailResponse()
        assert sign(log_in(), "Recover", email=address) == signup_pb2.RecoverResponse()
        assert refusal(lambda who=address: sign(log_in(), "Verify", email=who, token="nonsense")) == (
            "INVALID_ARGUMENT",
            "The code is wrong, used or older than 15 minutes.",
        )
    assert len([message for message in mail.outbox if message.to == ["unknown@example.org"]]) == 2


def test_what_is_no_address_gets_no_mail(log_in):
    for address in ("", "joe", "a@b\nBcc: x@example.org", "x" * 200 + "@example.org"):
        assert refusal(lambda who=address: sign(log_in(), "Send", email=who))[0] == "INVALID_ARGUMENT"


def test_closed_sign_up_says_so(log_in, settings):
    settings.MICRO_SIGNUP_IS_OPEN = False
    code, text = refusal(lambda: sign(log_in(), "Send", email="carl@example.org"))
    assert (code, text.partition(";")[0]) == ("PERMISSION_DENIED", "Sign-up is closed on this server")


def test_a_forgotten_password_is_set_anew_with_the_code_from_the_mail(log_in):
    email = "dora@example.org"
    sign(log_in(), "Send", email=email)
    sign(log_in(), "CompleteSignup", email=email, token=code_of(email), secret=PASSWORD, namespace="doras")
    sign(log_in(), "Recover", email=email)
    sign(log_in(), "Recover", email=email, token=code_of(email), secret="another good one 8")
    assert log_in("doras", email, "another good one 8")
    assert refusal(lambda: log_in("doras", email, PASSWORD))[0] == "UNAUTHENTICATED"


def start(caller, **fields):
    request = auth_pb2.DeviceStartRequest(**fields)
    return caller.call("/auth.Device/Start", request, auth_pb2.DeviceStartResponse)


def poll(caller, code):
    request = auth_pb2.DevicePollRequest(device_code=code)
    return caller.call("/auth.Device/Poll", request, auth_pb2.DevicePollResponse)


def test_a_program_gets_the_token_of_who_confirms_its_code(log_in, settings):
    settings.MICRO_WEB_URL = "https://pages.example"
    nobody = log_in()
    begun = start(nobody, program="micro on laptop", options={"namespace": "shop"})
    assert begun.verification_uri_complete == f"https://pages.example/device?code={begun.user_code}"
    assert poll(nobody, begun.device_code).state == auth_pb2.PENDING
    joe = committed(lambda: User.objects.get(username="joe"))
    committed(lambda: devices.confirm(typed=begun.user_code, namespace="shop", by=joe, at=now()))
    given = poll(nobody, begun.device_code)
    assert (given.state, given.namespace) == (auth_pb2.CONFIRMED, "shop")
    assert namespaces(bearer(nobody, given.token.access_token)) == {"shop": "admin"}
    assert refusal(lambda: poll(nobody, begun.device_code))[0] == "NOT_FOUND"


def test_a_program_without_a_code_learns_nothing(log_in):
    assert refusal(lambda: poll(log_in(), ""))[0] == "INVALID_ARGUMENT"
    assert refusal(lambda: poll(log_in(), "made up"))[0] == "NOT_FOUND"


def test_api_tokens_are_made_listed_and_revoked_by_their_owner_alone(log_in):
    joe, eve = log_in("shop", "joe", "joe-secret"), log_in("rival", "eve", "eve-secret")
    request = auth_pb2.CreateApiTokenRequest(name="ci", expires_in_days=30)
    made = joe.call("/auth.ApiTokens/Create", request, auth_pb2.CreateApiTokenResponse)
    assert made.token.startswith(made.api_token.hint)
    assert made.api_token.role == "member"

    def tokens(caller, **options):
        listing = auth_pb2.ListApiTokensRequest(options=options)
        reply = caller.call("/auth.ApiTokens/List", listing, auth_pb2.ListApiTokensResponse)
        return [each.name for each in reply.api_tokens]

    def revoke(caller, id):
        return caller.call(
            "/auth.ApiTokens/Revoke", auth_pb2.RevokeApiTokenRequest(id=id), auth_pb2.RevokeApiTokenResponse
        )

    assert (tokens(joe), tokens(eve)) == (["ci"], [])
    assert refusal(lambda: tokens(eve, namespace="shop"))[0] == "PERMISSION_DENIED"
    assert refusal(lambda: revoke(eve, made.api_token.id))[0] == "NOT_FOUND"
    assert refusal(lambda: revoke(joe, "no id"))[0] == "NOT_FOUND"
    revoke(joe, made.api_token.id)
    assert tokens(joe) == []
    bad = auth_pb2.CreateApiTokenRequest(name="ci", expires_in_days=-1)
    assert refusal(lambda: joe.call("/auth.ApiTokens/Create", bad, auth_pb2.CreateApiTokenResponse))[0] == (
        "INVALID_ARGUMENT"
    )


def test_only_the_platforms_admins_see_and_make_all_namespaces(log_in):
    admin, joe = log_in("micro", "admin", "micro"), log_in("shop", "joe", "joe-secret")
    assert {"micro", "shop", "rival"} <= set(namespaces(admin))
    assert namespaces(joe) == {"shop": "admin"}
    request = auth_pb2.CreateNamespaceRequest(name="fresh")
    assert refusal(lambda: joe.call("/auth.Namespaces/Create", request, auth_pb2.CreateNamespaceResponse))[0] == (
        "PERMISSION_DENIED"
    )
    made = admin.call("/auth.Namespaces/Create", request, auth_pb2.CreateNamespaceResponse).namespace
    assert (made.name, made.environment, made.plan) == ("fresh", "local", "default")
