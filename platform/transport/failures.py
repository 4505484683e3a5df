"""Where an exception becomes a gRPC status: Micro's JSON as the message, `errors.Error` as its first detail."""

from __future__ import annotations

import logging
import secrets
from typing import NamedTuple

import grpc
import psycopg
import psycopg_pool
from django.db import InterfaceError, OperationalError

from micro import wire
from micro.channel import CODES
from micro.errors import DeadlineExceeded, Error, Internal, Unavailable

log = logging.getLogger(__name__)

AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError, psycopg_pool.PoolTimeout)


class Failure(NamedTuple):
    """What a call ends with when it fails."""

    code: grpc.StatusCode
    message: str
    trailers: wire.Metadata


def failure(exception: Exception, *, id: str) -> Failure:
    """The wire form of `exception`; `id` names the method."""
    error = as_error(exception, id)
    error.id = error.id or id
    status, message, trailers = wire.to_status(error)
    return Failure(CODES[status], message, trailers)


def as_error(exception: Exception, id: str) -> Error:
    """The error that a caller is told of; our own faults are logged here, once, by incident."""
    if isinstance(exception, Error):
        return exception
    if isinstance(exception, TimeoutError):
        return DeadlineExceeded("The call took longer than its timeout.")
    if isinstance(exception, AWAY):
        log.warning("%s: the database is away: %s", id, str(exception).strip())
        return Unavailable("The database is away or too busy; try again.")
    incident = secrets.token_hex(4)
    log.error("%s failed, incident %s", id, incident, exc_info=exception)
    return Internal(f"The server failed; its log has the reason under incident {incident}.")
