"""The error tree: what went wrong for the caller, with its gRPC status, HTTP status and exit code.

Every edge maps errors by this tree and nothing else. The wire form is Micro 3's: a gRPC status whose message is JSON,
`{"id","code","detail","status"}` and whose first detail is an `errors.Error` message.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import ClassVar

import grpc


class Error(Exception):
    """Something the caller did, or asked for, that cannot be. `detail` is a sentence for the person who caused it."""

    status: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    http: ClassVar[int] = 500
    exit_code: ClassVar[int] = 127

    def __init__(self, detail: str, *, id: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.id = id

    def as_json(self) -> str:
        """Micro's error document."""
        reason = HTTPStatus(self.http).phrase
        return json.dumps({"id": self.id, "code": self.http, "detail": self.detail, "status": reason})


class Internal(Error):
    """The other side broke; seen by clients only. Our own faults are no Errors: they crash, and the edge logs them."""


class InvalidArgument(Error):
    """The request cannot be understood or breaks a rule that does not depend on state."""

    status, http = grpc.StatusCode.INVALID_ARGUMENT, 400


class Unauthenticated(Error):
    """No account, or one that could not be proved."""

    status, http, exit_code = grpc.StatusCode.UNAUTHENTICATED, 401, 2


class PermissionDenied(Error):
    """The account may not do this."""

    status, http = grpc.StatusCode.PERMISSION_DENIED, 403


class NotFound(Error):
    """The caller named something that does not exist, or is not theirs to see."""

    status, http = grpc.StatusCode.NOT_FOUND, 404


class DeadlineExceeded(Error):
    """It took longer than the caller allowed."""

    status, http, exit_code = grpc.StatusCode.DEADLINE_EXCEEDED, 408, 1


class AlreadyExists(Error):
    """The name is taken."""

    status, http = grpc.StatusCode.ALREADY_EXISTS, 409


class FailedPrecondition(Error):
    """Right request, wrong state."""

    status, http = grpc.StatusCode.FAILED_PRECONDITION, 412


class ResourceExhausted(Error):
    """A quota, a rate or a size is at its limit."""

    status, http = grpc.StatusCode.RESOURCE_EXHAUSTED, 429


class Unimplemented(Error):
    """There is no such method here, or it makes no sense on this platform; the detail says which."""

    status, http = grpc.StatusCode.UNIMPLEMENTED, 501


class Unavailable(Error):
    """Something needed is away; trying again later may work."""

    status, http, exit_code = grpc.StatusCode.UNAVAILABLE, 503, 4
