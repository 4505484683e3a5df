"""signup.Signup on the wire: the same steps as the pages of signing up, with the same limits."""

from __future__ import annotations

from datetime import timedelta

from django.utils.timezone import now

from micro.errors import Unimplemented
from micro.proto import signup_pb2 as wire
from tenants import signup
from transport.methods import ANYONE, Caller, Methods, unary
from transport.tenancy import in_public, in_tenant

from . import operations

EXPIRY = timedelta(minutes=10)
FREE = "Nothing is paid for on this platform."


async def send(request: wire.SendVerificationEmailRequest, caller: Caller) -> wire.SendVerificationEmailResponse:
    """Send a code to the address. Nothing tells whether it has an account already, but the e-mail."""
    await in_public(signup.request_sign_up, email=request.email, origin=caller.address, at=now())
    return wire.SendVerificationEmailResponse()


async def verify(request: wire.VerifyRequest, caller: Caller) -> wire.VerifyResponse:
    """Whether the code is good, which leaves it so."""
    await in_public(signup.verify, email=request.email, code=request.token, origin=caller.address, at=now())
    return wire.VerifyResponse()


async def complete(request: wire.CompleteSignupRequest, caller: Caller) -> wire.CompleteSignupResponse:
    """Make the user and their first namespace, and log them in."""
    user, namespace = await in_public(
        signup.sign_up,
        email=request.email,
        code=request.token,
        password=request.secret,
        namespace=request.namespace,
        origin=caller.address,
        at=now(),
    )
    slug = namespace.slug
    given = await in_tenant(slug, operations.admit, user, namespace=slug, expiry=EXPIRY, at=now())
    token = wire.AuthToken(
        access_token=given.access,
        refresh_token=given.refresh,
        created=int(given.created_at.timestamp()),
        expiry=int(given.expires_at.timestamp()),
    )
    return wire.CompleteSignupResponse(authToken=token, namespace=slug)


async def recover(request: wire.RecoverRequest, caller: Caller) -> wire.RecoverResponse:
    """Send a code by which the password can be set anew; with the code and a password, set it."""
    if request.token:
        await in_public(
            signup.reset_password,
            email=request.email,
            code=request.token,
            password=request.secret,
            origin=caller.address,
            at=now(),
        )
    else:
        await in_public(signup.request_reset, email=request.email, origin=caller.address, at=now())
    return wire.RecoverResponse()


async def set_payment_method(_request: wire.SetPaymentMethodRequest, _caller: Caller) -> wire.SetPaymentMethodResponse:
    """There is nothing to pay."""
    raise Unimplemented(FREE)


async def has_payment_method(_request: wire.HasPaymentMethodRequest, _caller: Caller) -> wire.HasPaymentMethodResponse:
    """There is nothing to pay."""
    raise Unimplemented(FREE)


METHODS: Methods = {
    "Signup.CompleteSignup": unary(
        complete, request=wire.CompleteSignupRequest, response=wire.CompleteSignupResponse, scope=ANYONE
    ),
    "Signup.HasPaymentMethod": unary(
        has_payment_method, request=wire.HasPaymentMethodRequest, response=wire.HasPaymentMethodResponse, scope=ANYONE
    ),
    "Signup.Recover": unary(recover, request=wire.RecoverRequest, response=wire.RecoverResponse, scope=ANYONE),
    "Signup.SendVerificationEmail": unary(
        send, request=wire.SendVerificationEmailRequest, response=wire.SendVerificationEmailResponse, scope=ANYONE
    ),
    "Signup.SetPaymentMethod": unary(
        set_payment_method, request=wire.SetPaymentMethodRequest, response=wire.SetPaymentMethodResponse, scope=ANYONE
    ),
    "Signup.Verify": unary(verify, request=wire.VerifyRequest, response=wire.VerifyResponse, scope=ANYONE),
}
