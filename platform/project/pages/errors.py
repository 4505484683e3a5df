"""What a page says when it cannot: the same page for whatever an operation refuses, with its status and reason."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from micro.errors import Error


class ErrorPages:
    """Middleware: an Error that reaches the edge becomes a page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page for an Error; what we broke ourselves is left to crash."""
        return page(request, exception.http, exception.detail) if isinstance(exception, Error) else None


def page(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    """The error page. What is not found is always told in the same words: they must not tell what exists."""
    if status == HTTPStatus.NOT_FOUND:
        detail = "There is no such page, or it is not yours to see."
    context = {"status": status, "title": HTTPStatus(status).phrase, "detail": detail}
    return render(request, "error.html", context, status=status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For a URL that no page answers."""
    return page(request, 404, "")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For a form that another site sent, or one that was open in this browser for too long."""
    return page(
        request, 403, "The form was not sent from a page of ours, or it is too old. Go back, reload, try again."
    )


def failed(request: HttpRequest) -> HttpResponse:
    """For a fault of ours; nothing is read from anywhere."""
    return HttpResponse(
        "<!doctype html><title>micro</title><h1>This went wrong on our side</h1>"
        "<p>It has been logged. Try again in a moment.</p>",
        status=500,
    )
