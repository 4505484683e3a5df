"""Pages of who uses the platform: signing up, logging in and out, resetting a password."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.timezone import now

from micro.errors import Error
from transport.callers import ANY_ACCOUNT, ANYONE

from . import browsers, forms, logins, operations, sessions, signup
from .access.permissions import Permission
from .models import User
from .pages import Here, form_page, namespace_page, origin, own_namespaces, page


@page(ANYONE, "GET", "POST")
def log_in(request: HttpRequest) -> HttpResponse:
    """Start a session."""
    form = forms.LogIn(request.POST or None)
    if request.method == "POST":
        device, where = _device(request), origin(request)
        user = form.carry_out(lambda data: logins.prove(**data, origin=where, device=device, at=now()))
        if user:
            return _remember(request, user, redirect(_next(request, user)))
    return form_page(request, "tenants/login.html", {"next": _wanted(request)}, form)


@page(ANY_ACCOUNT, "POST")
def log_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    auth.logout(request)
    return redirect("home")


@page(ANYONE, "GET", "POST")
def sign_up(request: HttpRequest) -> HttpResponse:
    """The first step: send a code to an address."""
    form = forms.Address(request.POST or None, initial=_typed_before(request))
    if request.method == "POST":
        where = origin(request)
        form.carry_out(lambda data: signup.request_sign_up(**data, origin=where, at=now()), blame="email")
        if form.status == 200:
            return redirect(_with_email("signup-code", form.cleaned_data["email"]))
    return form_page(request, "tenants/signup.html", {}, form)


@page(ANYONE, "GET", "POST")
def sign_up_code(request: HttpRequest) -> HttpResponse:
    """The second step: the code, a password, a namespace. Whoever has done it is logged in."""
    email = request.GET.get("email", "")
    form = forms.SignUp(request.POST or None, initial={"email": email})
    if request.method != "POST" and not email:
        return redirect("signup")
    if request.method == "POST":
        where = origin(request)
        made = form.carry_out(lambda data: signup.sign_up(**data, origin=where, at=now()), blame="code")
        if made:
            user, namespace = made
            return _remember(request, user, redirect("services", namespace=namespace.slug))
    context = {"form": form, "email": form["email"].value(), "mail_file": _mail_file()}
    return form_page(request, "tenants/signup_code.html", context, form)


@page(ANYONE)
def check_namespace(request: HttpRequest) -> HttpResponse:
    """Whether a name can be had: a fragment, asked for while it is typed."""
    name, problem = request.GET.get("namespace", "")[:100], ""
    try:
        signup.judge_name(name, origin=origin(request), at=now())
    except Error as error:
        problem = error.detail
    context = {"name": name, "problem": problem, "base_domain": settings.MICRO_BASE_DOMAIN}
    return render(request, "tenants/_namespace.html", context)


@page(ANYONE, "GET", "POST")
def reset(request: HttpRequest) -> HttpResponse:
    """The first step back in: send a code."""
    form = forms.Address(request.POST or None, initial=_typed_before(request))
    if request.method == "POST":
        where = origin(request)
        form.carry_out(lambda data: signup.request_reset(**data, origin=where, at=now()), blame="email")
        if form.status == 200:
            return redirect(_with_email("reset-code", form.cleaned_data["email"]))
    return form_page(request, "tenants/reset.html", {}, form)


@page(ANYONE, "GET", "POST")
def reset_code(request: HttpRequest) -> HttpResponse:
    """The second step: the code and a new password."""
    email = request.GET.get("email", "")
    form = forms.Reset(request.POST or None, initial={"email": email})
    if request.method != "POST" and not email:
        return redirect("reset")
    if request.method == "POST":
        where = origin(request)
        if form.carry_out(lambda data: signup.reset_password(**data, origin=where, at=now()), blame="code"):
            messages.success(request, "Your password is changed. Log in with it.")
            return redirect("login")
    context = {"form": form, "email": form["email"].value(), "mail_file": _mail_file()}
    return form_page(request, "tenants/reset_code.html", context, form)


@namespace_page(Permission.TOKENS_READ, "GET", "POST")
def tokens(request: HttpRequest, here: Here) -> HttpResponse:
    """API tokens: those there are, and a form that makes one, which is shown once."""
    form, made = forms.Token(request.POST or None), None
    if request.method == "POST":
        made = form.carry_out(
            lambda _: operations.create_api_token(
                namespace=here.namespace, by=here.account, at=now(), **form.wishes(now())
            )
        )
    context = {
        "form": forms.Token() if made else form,
        "made": made[1] if made else "",
        "rows": operations.visible_api_tokens(namespace=here.namespace, by=here.account).order_by("-created_at"),
        "tab": "tokens",
        "web_url": settings.MICRO_WEB_URL,
    }
    return form_page(request, "tenants/tokens.html", context, form)


@namespace_page(Permission.TOKENS_WRITE, "POST")
def revoke_token(request: HttpRequest, here: Here, id: UUID) -> HttpResponse:
    """Make a token useless."""
    operations.revoke_api_token(namespace=here.namespace, token_id=id, by=here.account)
    messages.success(request, "The token is revoked.")
    return redirect("tokens", namespace=here.namespace.slug)


def _typed_before(request: HttpRequest) -> dict[str, str]:
    """The address, for who comes back to ask for another code."""
    return {"email": request.GET.get("email", "")[:150]}


def _with_email(name: str, email: str) -> str:
    return f"{reverse(name)}?{urlencode({'email': email})}"


def _mail_file() -> str:
    """Where a server that sends no e-mail keeps the last one; only its own user is told."""
    local = settings.MICRO_PROFILE == "local" and not settings.MICRO_SENDS_EMAIL
    return str(settings.EMAIL_FILE_PATH / "latest.txt") if local else ""


def _wanted(request: HttpRequest) -> str:
    """The page that was asked for before logging in, if it is one of ours."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if not url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return ""
    try:
        resolve(urlsplit(wanted).path)
    except Resolver404:
        return ""
    return wanted


def _next(request: HttpRequest, user: User) -> str:
    if wanted := _wanted(request):
        return wanted
    request.user = user
    first = own_namespaces(request)[:1]
    return reverse("services", kwargs={"namespace": first[0]}) if first else reverse("home")


def _remember(request: HttpRequest, user: User, answer: HttpResponse) -> HttpResponse:
    """Begin the session, and mark the device as one that this user has."""
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    sessions.begin(request, at=now())
    answer.set_cookie(
        settings.MICRO_DEVICE_COOKIE_NAME,
        browsers.mark(user.get_username()),
        max_age=browsers.REMEMBERED,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return answer


def _device(request: HttpRequest) -> str:
    """The mark of a device from which the user that is named has logged in before; blank otherwise."""
    mark = request.COOKIES.get(settings.MICRO_DEVICE_COOKIE_NAME, "")
    return browsers.known(mark, name=request.POST.get("name", ""))
