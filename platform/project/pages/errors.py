"""What a page says when it cannot: the same page for whatever an operation refuses, with its status and reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape

from micro.errors import Error, InvalidArgument, NotFound, PermissionDenied
from project.api.errors import answer
from transport.failures import as_error
from transport.rest import BodyTooLarge, with_retry

PLAIN = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title} · micro</title>
  <link rel="icon" href="{static}micro/favicon.svg"><link rel="stylesheet" href="{static}micro/micro.css">
</head>
<body>
<header class="top"><div>
<a class="brand" href="/"><img src="{static}micro/favicon.svg" alt="" width="24" height="24">micro</a>
</div></header>
<main class="narrow">
<p class="number">{status}</p>
<h1>{title}</h1>
<p class="lead">{detail}</p>
<a class="button" href="/">To the start</a>
</main></body>
</html>
"""


class ErrorPages:
    """Middleware: an Error that reaches the edge becomes a page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page for an Error; what we broke ourselves is left to crash."""
        return _page_of(request, exception) if isinstance(exception, Error) else None


def page(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    """The error page. What is not found is always told in the same words: they must not tell what exists."""
    if status == HTTPStatus.NOT_FOUND:
        detail = "There is no such page, or it is not yours to see."
    context = {"status": status, "title": HTTPStatus(status).phrase, "detail": detail}
    return render(request, "error.html", context, status=status)


def _page_of(request: HttpRequest, error: Error) -> HttpResponse:
    return with_retry(page(request, error.http, error.detail), error)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For a host that is not ours, and for what no browser of a person sends."""
    return _told(request, InvalidArgument("The request cannot be understood, or it was sent to another host."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For what the admin refuses its readers."""
    return _told(request, PermissionDenied("This is not allowed."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For a URL that no page answers."""
    return _told(request, NotFound("There is nothing here."))


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For a form that another site sent, or one that was open in this browser for too long."""
    return page(
        request, 403, "The form was not sent from a page of ours, or it is too old. Go back, reload, try again."
    )


def failed(request: HttpRequest) -> HttpResponse:
    """For a fault of ours, by incident, and for a database that is away; nothing is read from anywhere."""
    fault = sys.exc_info()[1]
    error = as_error(fault if isinstance(fault, Exception) else RuntimeError(), request.path)
    return answer(error) if _is_rest(request.path) else plain(error)


def too_large(path: str) -> HttpResponse:
    """For a body that is larger than any form or document of ours."""
    return answer(BodyTooLarge()) if _is_rest(path) else plain(BodyTooLarge(settings.DATA_UPLOAD_MAX_MEMORY_SIZE))


def plain(error: Error) -> HttpResponse:
    """A page that needs no session, no database and no template."""
    title = "This went wrong on our side" if error.http == 500 else HTTPStatus(error.http).phrase
    text = PLAIN.format(status=error.http, title=title, detail=escape(error.detail), static=settings.STATIC_URL)
    return with_retry(HttpResponse(text, status=error.http), error)


def at_the_edge(request: HttpRequest, error: Error) -> HttpResponse:
    """What is said to a request that is looked at no further; for the REST API the problem."""
    return answer(error) if _is_rest(request.path) else plain(error)


def _told(request: HttpRequest, error: Error) -> HttpResponse:
    """The page, or for the REST API the problem."""
    return answer(error) if _is_rest(request.path) else _page_of(request, error)


def _is_rest(path: str) -> bool:
    return path.startswith("/v1/")
