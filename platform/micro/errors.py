"""The error tree: what went wrong for the caller, with its gRPC status, HTTP status and exit code.

Every edge maps errors by this tree and nothing else. The wire form is Micro 3's: a gRPC status whose message is JSON,
`{"id","code","detail","status"}` and whose first detail is an `errors.Error` message.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Status(IntEnum):
    """The statuses of gRPC: grpcio's own take a while to import, and a command that makes one call goes without it."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Error(Exception):
    """Something the caller did, or asked for, that cannot be. `detail` is a sentence for the person who caused it."""

    status: ClassVar[Status] = Status.INTERNAL
    http: ClassVar[int] = 500
    exit_code: ClassVar[int] = 127

    def __init__(self, detail: str, *, id: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.id = id

    def as_json(self) -> str:
        """Micro's error document."""
        import json
        from http import HTTPStatus

        reason = HTTPStatus(self.http).phrase
        return json.dumps({"id": self.id, "code": self.http, "detail": self.detail, "status": reason})


class Internal(Error):
    """The other side broke; seen by clients only. Our own faults are no Errors: they crash, and the edge logs them."""


class InvalidArgument(Error):
    """The request cannot be understood or breaks a rule that does not depend on state."""

    status, http = Status.INVALID_ARGUMENT, 400


class Unauthenticated(Error):
    """No account, or one that could not be proved."""

    status, http, exit_code = Status.UNAUTHENTICATED, 401, 2


class PermissionDenied(Error):
    """The account may not do this."""

    status, http = Status.PERMISSION_DENIED, 403


class NotFound(Error):
    """The caller named something that does not exist, or is not theirs to see."""

    status, http = Status.NOT_FOUND, 404


class DeadlineExceeded(Error):
    """It took longer than the caller allowed."""

    status, http, exit_code = Status.DEADLINE_EXCEEDED, 408, 1


class AlreadyExists(Error):
    """The name is taken."""

    status, http = Status.ALREADY_EXISTS, 409


class FailedPrecondition(Error):
    """Right request, wrong state."""

    status, http = Status.FAILED_PRECONDITION, 412


class ResourceExhausted(Error):
    """A quota, a rate or a size is at its limit. `retry_after_s` is when to try again, as far as anybody knows."""

    status, http = Status.RESOURCE_EXHAUSTED, 429

    def __init__(self, detail: str, *, id: str = "", retry_after_s: int = 60) -> None:
        super().__init__(detail, id=id)
        self.retry_after_s = retry_after_s


class Unimplemented(Error):
    """There is no such method here, or it makes no sense on this platform; the detail says which."""

    status, http = Status.UNIMPLEMENTED, 501


class Unavailable(Error):
    """Something needed is away; trying again later may work."""

    status, http, exit_code = Status.UNAVAILABLE, 503, 4
