"""Whose requests the pages and the REST API answer: at hosts of ours, and not those that another site's page makes.

A browser says in Origin and Sec-Fetch-Site from where it asks; programs say nothing. Only links lead here from outside.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import split_domain_port, validate_host
from django.utils.cache import patch_vary_headers

from micro.errors import PermissionDenied

from .errors import at_the_edge

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# These find names below localhost by themselves; others ask the system, which may not know them. All but Chromium's and
# Firefox' own engines call themselves otherwise, on iOS, too.
KNOW_LOCALHOST = ("Chrome/", "Firefox/")
CORS = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
    "Access-Control-Max-Age": "600",
}
ANOTHER_NAME = "The request was sent to another host. The operator can list its name in MICRO_ALLOWED_HOSTS."
NOT_FROM_ELSEWHERE = "Pages of other sites may not ask for this. The operator can list their origin for the REST API."


class Sites:
    """Middleware: refuses, or moves a browser to the dashboard's own host, before anything is looked at."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer; to a page of a listed origin with leave to read it."""
        try:
            host = request.get_host()
        except DisallowedHost:
            return at_the_edge(request, PermissionDenied(ANOTHER_NAME))
        if moved := _moved(request, host):
            return moved
        cors = _listed(request)
        if cors and request.method == "OPTIONS":
            return _shown_to(cors, HttpResponse(status=204))
        if not cors and _is_foreign(request, host):
            return at_the_edge(request, PermissionDenied(NOT_FROM_ELSEWHERE))
        answer = self.get_response(request)
        return _shown_to(cors, answer) if cors else answer


def knows_localhost(request: HttpRequest) -> bool:
    """Whether the browser finds names below localhost, and takes http to them for as good as https."""
    return any(name in request.headers.get("User-Agent", "") for name in KNOW_LOCALHOST)


def name_of(host: str) -> str:
    """The host without its port, in small letters."""
    return split_domain_port(host)[0]


def _moved(request: HttpRequest, host: str) -> HttpResponse | None:
    """The way to the host that is the dashboard's alone, for a page that is opened elsewhere."""
    name, is_page = name_of(host), not _is_program(request.path)
    if settings.MICRO_WEB_OWN_HOST and name in LOOPBACK and _is_navigation(request) and knows_localhost(request):
        port = host[len(name) :]
        answer = HttpResponseRedirect(
            f"{request.scheme}://{settings.MICRO_WEB_OWN_HOST}{port}{request.get_full_path()}"
        )
        for cookie in settings.MICRO_COOKIES & request.COOKIES.keys():
            answer.delete_cookie(cookie)  # of the time before, at a host that is shared
        return answer
    if is_page and not validate_host(name, settings.MICRO_PAGE_HOSTS) and not settings.MICRO_PROXIES_IN_FRONT:
        detail = f"The pages are at {settings.MICRO_WEB_URL}. A proxy in front of them has to pass the host on."
        return at_the_edge(request, PermissionDenied(detail))
    return None


def _is_foreign(request: HttpRequest, host: str) -> bool:
    """Whether a page of another site, or of another port of this host, made the browser ask. A link is none."""
    if (origin := request.headers.get("Origin")) is not None:
        return origin not in (f"{request.scheme}://{host}", settings.MICRO_WEB_URL)
    return request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not _is_navigation(request)


def _is_navigation(request: HttpRequest) -> bool:
    """Whether somebody opens the page in a tab: not in a frame, and not by a form that changes something."""
    mode, into = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")
    return request.method in ("GET", "HEAD") and mode == "navigate" and into == "document"


def _listed(request: HttpRequest) -> str:
    """The origin that the operator has listed and the REST API is asked from; blank otherwise."""
    origin = request.headers.get("Origin", "")
    return origin if origin in settings.MICRO_ALLOWED_ORIGINS and request.path.startswith("/v1/") else ""


def _is_program(path: str) -> bool:
    """Whether programs ask for this, at whatever name they have for this machine; no cookie counts there."""
    return path.startswith("/v1/") or path == "/healthz"


def _shown_to(origin: str, answer: HttpResponse) -> HttpResponse:
    """The answer with leave to read it, never with the reader's cookies."""
    answer["Access-Control-Allow-Origin"] = origin
    for name, value in CORS.items():
        answer.setdefault(name, value)
    patch_vary_headers(answer, ["Origin"])
    return answer
