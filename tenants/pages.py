"""What every page says about itself: who may see it, by which methods; and where in the platform its reader is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.functional import SimpleLazyObject

from transport.callers import ANY_ACCOUNT, Account, Scope
from transport.rest import with_retry

from .access import actors
from .access.permissions import Permission
from .forms import Form
from .models import Membership, Namespace, User

USUAL_PROXY_PORT = 8081

Page = Callable[..., HttpResponseBase]
Decorated = TypeVar("Decorated", bound=Page)


@dataclass(frozen=True, slots=True)
class Here:
    """The namespace that a page is about, and the account with which its reader acts there."""

    account: Account
    namespace: Namespace


def page(scope: Scope, *methods: str) -> Callable[[Decorated], Decorated]:
    """A page for everybody (ANYONE) or for who has logged in (ANY_ACCOUNT)."""

    def decorate(view: Decorated) -> Decorated:
        def guarded(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            return (
                _log_in(request) or view(request, **arguments) if scope is ANY_ACCOUNT else view(request, **arguments)
            )

        return _declared(view, guarded, scope, methods)

    return decorate


def namespace_page(permission: Permission, *methods: str) -> Callable[[Decorated], Decorated]:
    """A page of the namespace in its URL, called with a Here. For others than its members it is not found.

    Operations ask for the permission again; asking here keeps a page from offering what will be refused.
    """

    def decorate(view: Decorated) -> Decorated:
        def guarded(request: HttpRequest, namespace: str, **arguments: Any) -> HttpResponseBase:
            if answer := _log_in(request):
                return answer
            account = actors.account_of(cast("User", request.user), namespace)
            here = Here(account, actors.enter(account, namespace, permission))
            request.here = here  # type: ignore[attr-defined]
            return view(request, here, **arguments)

        guarded.permission = permission  # type: ignore[attr-defined]
        return _declared(view, guarded, ANY_ACCOUNT, methods)

    return decorate


def _declared(view: Decorated, guarded: Page, scope: Scope, methods: tuple[str, ...]) -> Decorated:
    allowed = methods or ("GET",)

    @wraps(view)
    def answer(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        if request.method not in (*allowed, "HEAD" if "GET" in allowed else ""):
            return HttpResponseNotAllowed(allowed)
        response = guarded(request, **arguments)
        if request.method == "HEAD" and response.streaming:
            return HttpResponse(headers=response.headers)  # a stream has no end, and nobody listens
        return response

    answer.__dict__.update(guarded.__dict__)
    answer.scope, answer.methods = scope, allowed  # type: ignore[attr-defined]
    return cast("Decorated", answer)


def form_page(request: HttpRequest, template: str, context: Mapping[str, Any], form: Form) -> HttpResponse:
    """A page that shows a form as it was typed, with the status of what came of it."""
    return with_retry(render(request, template, {**context, "form": form}, status=form.status), form.refusal)


def _log_in(request: HttpRequest) -> HttpResponse | None:
    """Where to send a reader who has not logged in."""
    if request.user.is_authenticated:
        return None
    return redirect_to_login(request.get_full_path() if request.method == "GET" else "/")


def header(request: HttpRequest) -> dict[str, Any]:
    """A context processor: what the header of every page shows. Nothing is read before the template asks."""
    return {
        "here": getattr(request, "here", None),
        "own_namespaces": SimpleLazyObject(lambda: own_namespaces(request)),
        "signup_is_open": settings.MICRO_SIGNUP_IS_OPEN,
        "proxy_setting": _proxy_setting(),
    }


def _proxy_setting() -> str:
    """What MICRO_PROXY must be in the shell of a reader; blank where it is what the command line takes by itself."""
    port = settings.MICRO_PROXY_ADDRESS[1]
    is_usual = port == USUAL_PROXY_PORT and settings.MICRO_WEB_HOST == "localhost"
    return "" if is_usual else f"{settings.MICRO_WEB_HOST}:{port}"


def own_namespaces(request: HttpRequest) -> list[str]:
    """The names of the reader's namespaces, the oldest membership first."""
    if not request.user.is_authenticated:
        return []
    rows = Membership.objects.across_namespaces().filter(user=request.user)
    return list(rows.order_by("pk").values_list("namespace__slug", flat=True))


def origin(request: HttpRequest) -> str:
    """The network address that a request came from, behind as many proxies as the operator counts."""
    trusted = settings.MICRO_PROXIES_IN_FRONT
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    if trusted and len(hops) >= trusted:
        return hops[-trusted]
    return str(request.META.get("REMOTE_ADDR", ""))
