"""Our cookies at the dashboard's own host below localhost: with the prefix `__Host-`, though there is no https."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from .sites import knows_localhost, name_of

PREFIX = "__Host-"


class Prefixed:
    """Middleware: to browsers that take this machine for safe, cookies are `__Host-` ones; within, nobody knows.

    The prefix makes the browser refuse a cookie of that name that is for other hosts, too, or comes over plain http.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Take the prefix off on the way in, and put it on on the way out."""
        is_own = name_of(request.get_host()).endswith(".localhost") and not settings.MICRO_WEB_IS_SECURE
        if not is_own or not knows_localhost(request):
            return self.get_response(request)
        for name in settings.MICRO_COOKIES:
            request.COOKIES.pop(name, None)
            if (value := request.COOKIES.pop(PREFIX + name, None)) is not None:
                request.COOKIES[name] = value
        answer = self.get_response(request)
        for name in settings.MICRO_COOKIES & answer.cookies.keys():
            _prefix(answer, name)
        return answer


def _prefix(answer: HttpResponse, name: str) -> None:
    plain = answer.cookies.pop(name)
    answer.cookies[PREFIX + name] = plain.value
    answer.cookies[PREFIX + name].update(plain)
    answer.cookies[PREFIX + name]["secure"] = True
