"""The first page: what this server is, and the next command to type; for who has logged in, their services."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from project.server.plan import reachable, text
from tenants.pages import own_namespaces, page
from transport.callers import ANYONE


@page(ANYONE)
def home(request: HttpRequest) -> HttpResponse:
    """Show the addresses and the next commands; whoever has a namespace is sent there."""
    if own := own_namespaces(request):
        return redirect("services", namespace=own[0])
    context = {
        "profile": settings.MICRO_PROFILE,
        "api": f"http://{reachable(settings.MICRO_API_ADDRESS)}",
        "proxy": reachable(settings.MICRO_PROXY_ADDRESS),
        "proxy_setting": "" if settings.MICRO_PROXY_ADDRESS[1] == 8081 else text(settings.MICRO_PROXY_ADDRESS),
        "is_local": settings.MICRO_PROFILE == "local",
    }
    return render(request, "project/home.html", context)


@page(ANYONE, "GET", "POST")
def admin_login(request: HttpRequest) -> HttpResponse:
    """Send who wants into the admin to the one login."""
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
