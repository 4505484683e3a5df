"""The first page: what this server is, and the next command to type."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from project.server.plan import reachable, text


def home(request: HttpRequest) -> HttpResponse:
    """Show the addresses and the next commands; nothing here depends on who looks."""
    context = {
        "profile": settings.MICRO_PROFILE,
        "api": f"http://{reachable(settings.MICRO_API_ADDRESS)}",
        "proxy": reachable(settings.MICRO_PROXY_ADDRESS),
        "proxy_setting": "" if settings.MICRO_PROXY_ADDRESS[1] == 8081 else text(settings.MICRO_PROXY_ADDRESS),
        "is_local": settings.MICRO_PROFILE == "local",
    }
    return render(request, "project/home.html", context)
