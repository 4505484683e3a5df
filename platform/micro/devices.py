"""Logging in by a browser, for programs that have none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import errors
from .proto import auth_pb2
from .tokens import Token

if TYPE_CHECKING:
    from .client import Client

EXPIRY_S = 600
Started = auth_pb2.DeviceStartResponse


def start(program: str, *, client: Client) -> Started:
    """Begin: the code to show, the page to show it for, and the code to wait with."""
    request = auth_pb2.DeviceStartRequest(program=program, options={"namespace": client.namespace})
    return client.invoke("auth", "Device.Start", request, Started, anonymous=True)


def wait(started: Started, *, client: Client, sleep: Callable[[float], None] = time.sleep) -> tuple[str, Token]:
    """Wait until it is confirmed; the namespace that was chosen, and a token there.

    Raises PermissionDenied when it is refused, FailedPrecondition when nobody confirms it in time.
    """
    pause_s = float(started.interval or 2)
    request = auth_pb2.DevicePollRequest(device_code=started.device_code, token_expiry=EXPIRY_S)
    while True:
        sleep(pause_s)
        try:
            reply = client.invoke("auth", "Device.Poll", request, auth_pb2.DevicePollResponse, anonymous=True)
        except errors.DeadlineExceeded:
            continue
        if reply.state == auth_pb2.CONFIRMED:
            given = reply.token
            return reply.namespace, Token(given.access_token, given.refresh_token, given.created, given.expiry)
        if reply.state == auth_pb2.REFUSED:
            raise errors.PermissionDenied("The login was refused in the browser.")
        if reply.state == auth_pb2.EXPIRED:
            raise errors.FailedPrecondition("Nobody confirmed the login in time. Start again.")
        if reply.state == auth_pb2.SLOW_DOWN:
            pause_s += 1
