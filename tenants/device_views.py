"""The page on which a user lets a program log in as them."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now

from transport.callers import ANY_ACCOUNT

from . import devices, forms
from .models import DeviceLogin, User
from .pages import form_page, page


@page(ANY_ACCOUNT, "GET", "POST")
def device(request: HttpRequest) -> HttpResponse:
    """Which code; then who asks for what, and the decision."""
    typed = (request.POST if request.method == "POST" else request.GET).get("code", "")
    if not typed:
        return render(request, "tenants/device.html", {"form": forms.DeviceCode()})
    user = cast("User", request.user)
    form = forms.DeviceCode({"code": typed})
    waiting = form.carry_out(lambda data: devices.find(typed=data["code"], by=user, at=now()), blame="code")
    if waiting is None:
        return form_page(request, "tenants/device.html", {}, form)
    return _decision(request, user, waiting)


@page(ANY_ACCOUNT)
def device_done(request: HttpRequest) -> HttpResponse:
    """How it was decided."""
    return render(request, "tenants/device_done.html", {"is_refused": "refused" in request.GET})


def _decision(request: HttpRequest, user: User, waiting: DeviceLogin) -> HttpResponse:
    namespaces = devices.choices(by=user, wanted=waiting.wanted)
    decision = request.POST.get("decision", "")
    form = forms.Device(request.POST if decision == "confirm" else None, namespaces=namespaces)
    if decision == "refuse":
        return _refuse(user, waiting)
    if decision == "confirm":
        form.carry_out(lambda data: devices.confirm(typed=data["code"], namespace=data["namespace"], by=user, at=now()))
        if form.status == 200:
            return redirect("device-done")
    code = devices.spelled(waiting.user_code)
    context = {"form": form, "waiting": waiting, "code": code, "namespaces": namespaces}
    return form_page(request, "tenants/device_decision.html", context, form)


def _refuse(user: User, waiting: DeviceLogin) -> HttpResponse:
    devices.refuse(typed=waiting.user_code, by=user, at=now())
    return redirect("/device/done?refused")
