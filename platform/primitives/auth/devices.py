"""auth.Device on the wire: logging in by a browser, for programs that have none."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.utils.timezone import now

from micro.errors import InvalidArgument
from micro.proto import auth_pb2
from tenants import devices
from transport.methods import ANYONE, Caller, Methods, unary
from transport.tenancy import in_public, in_tenant

from . import operations
from .rpc import expiry, shown


async def start(request: auth_pb2.DeviceStartRequest, caller: Caller) -> auth_pb2.DeviceStartResponse:
    """Begin: the code for the user's eyes, where to confirm it, and the code to ask with."""
    row, device_code = await in_public(
        devices.start, program=request.program, wanted=request.options.namespace, origin=caller.address, at=now()
    )
    page, code = f"{settings.MICRO_WEB_URL}/device", devices.spelled(row.user_code)
    return auth_pb2.DeviceStartResponse(
        device_code=device_code,
        user_code=code,
        verification_uri=page,
        verification_uri_complete=f"{page}?{urlencode({'code': code})}",
        expires_in=int(devices.LIFE.total_seconds()),
        interval=int(devices.INTERVAL.total_seconds()),
    )


async def poll(request: auth_pb2.DevicePollRequest, _caller: Caller) -> auth_pb2.DevicePollResponse:
    """What has become of it; once confirmed, the token."""
    if not request.device_code:
        raise InvalidArgument("device_code is blank")
    life = expiry(request.token_expiry)
    answer = await in_public(devices.poll, device_code=request.device_code, at=now())
    reply = auth_pb2.DevicePollResponse(state=answer.state.name)
    if answer.user is not None and answer.namespace is not None:
        slug = answer.namespace.slug
        given = await in_tenant(slug, operations.admit, answer.user, namespace=slug, expiry=life, at=now())
        reply.namespace = slug
        reply.token.CopyFrom(shown(given))
    return reply


METHODS: Methods = {
    "Device.Poll": unary(poll, request=auth_pb2.DevicePollRequest, response=auth_pb2.DevicePollResponse, scope=ANYONE),
    "Device.Start": unary(
        start, request=auth_pb2.DeviceStartRequest, response=auth_pb2.DeviceStartResponse, scope=ANYONE
    ),
}
