"""Sessions end: after a while without a page, and after a longer while in any case."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now

BEGAN, SEEN = "began", "seen"
NOTED_EVERY = timedelta(minutes=1)  # not at each page: that would be a write for every read


def begin(request: HttpRequest, *, at: datetime) -> None:
    """Note when the session began."""
    request.session[BEGAN] = request.session[SEEN] = at.timestamp()


class Ending:
    """Middleware, after that of sessions and users."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Log out who was away for too long."""
        if auth.SESSION_KEY in request.session:
            _look(request, now())
        return self.get_response(request)


def _look(request: HttpRequest, at: datetime) -> None:
    session, moment = request.session, at.timestamp()
    if BEGAN not in session:  # logged in by the admin's own form
        begin(request, at=at)
    is_idle = moment - session[SEEN] > settings.MICRO_SESSION_IDLE.total_seconds()
    is_over = moment - session[BEGAN] > settings.MICRO_SESSION_LIFE.total_seconds()
    if is_idle or is_over:
        auth.logout(request)
    elif moment - session[SEEN] > NOTED_EVERY.total_seconds():
        session[SEEN] = moment
