"""Where an exception becomes problem+json."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404, HttpResponse
from rest_framework import exceptions
from rest_framework.views import set_rollback

from micro.errors import Error, InvalidArgument, NotFound, PermissionDenied
from transport.failures import as_error
from transport.rest import PROBLEM, problem, with_retry


def handle(exception: Exception, context: dict[str, Any]) -> HttpResponse:
    """The answer to whatever an endpoint raised. Our own faults are logged once, by incident."""
    set_rollback()
    if isinstance(exception, exceptions.ValidationError):
        return _response(problem(InvalidArgument("The input is not valid."), errors=_by_field(exception.detail)))
    if isinstance(exception, exceptions.MethodNotAllowed | exceptions.UnsupportedMediaType):
        return _refused(exception, context)
    return answer(as_error(_translated(exception), context["request"].path))


def answer(error: Error) -> HttpResponse:
    """The problem that tells of an error."""
    return with_retry(_response(problem(error)), error)


def _translated(exception: Exception) -> Exception:
    if isinstance(exception, Http404):
        return NotFound("There is nothing here.")
    if isinstance(exception, DjangoPermissionDenied):
        return PermissionDenied("This is not allowed.")
    if isinstance(exception, exceptions.ParseError):
        return InvalidArgument(str(exception.detail))
    return exception


def _refused(exception: exceptions.APIException, context: dict[str, Any]) -> HttpResponse:
    """405 and 415: for what the caller's HTTP library did, there is no error in our tree."""
    kind = "method-not-allowed" if exception.status_code == 405 else "unsupported-media-type"
    response = _response(
        {
            "type": f"urn:micro:error:{kind}",
            "title": kind.replace("-", " ").capitalize(),
            "status": exception.status_code,
            "detail": str(exception.detail),
        }
    )
    if exception.status_code == 405:
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def _response(document: dict[str, Any]) -> HttpResponse:
    response = HttpResponse(json.dumps(document), status=document["status"], content_type=PROBLEM)
    if document["status"] == 401:
        response["WWW-Authenticate"] = 'Bearer realm="micro"'
    return response


def _by_field(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """The reasons by field, nested ones as `env.NAME`; what concerns the whole document is under `body`."""
    if isinstance(detail, dict):
        found: dict[str, list[str]] = {}
        for name, inner in detail.items():
            own = "body" if name == "non_field_errors" else str(name)
            found |= _by_field(inner, f"{prefix}.{own}" if prefix else own)
        return found
    return {prefix or "body": [str(reason) for reason in (detail if isinstance(detail, list) else [detail])]}
