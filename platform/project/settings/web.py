"""The web process."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from project import env, strangers
from project.profiles import LOCAL

from .base import MICRO_PROFILE, ROOT
from .gateway import MICRO_BASE_DOMAIN

MICRO_WEB_ADDRESS = env.address("MICRO_WEB_ADDRESS", "127.0.0.1:8082")

# Where people reach the pages, for links in e-mails; https makes cookies secure.
_usual = "localhost" if MICRO_PROFILE == LOCAL or MICRO_BASE_DOMAIN != "localhost" else "app.localhost"
MICRO_WEB_URL = env.text("MICRO_WEB_URL", f"http://{_usual}:{MICRO_WEB_ADDRESS[1]}").rstrip("/")
_web = urlsplit(MICRO_WEB_URL)
env.refuse(
    _web.scheme not in {"http", "https"} or not _web.hostname or bool(_web.path or _web.query),
    f"MICRO_WEB_URL is {MICRO_WEB_URL!r}: say http(s)://host, without a path.",
)
MICRO_WEB_HOST = _web.hostname or ""
MICRO_WEB_IS_SECURE = _web.scheme == "https"
# Cookies know no ports: at localhost they would be every program's on this machine. Browsers that know names below
# localhost are moved to this one, which is the dashboard's alone; blank where the pages have a host of their own.
MICRO_WEB_OWN_HOST = "app.localhost" if MICRO_WEB_HOST == "localhost" else ""
_further = tuple(host.lower() for host in env.words("MICRO_ALLOWED_HOSTS"))
_own = tuple(host for host in (MICRO_WEB_HOST, MICRO_WEB_OWN_HOST) if host)
_here = ("localhost", "127.0.0.1", "[::1]", MICRO_WEB_ADDRESS[0])
ALLOWED_HOSTS = [*_further, *_here, *_own]
MICRO_OWN_HOSTS = tuple(dict.fromkeys(ALLOWED_HOSTS))  # platform services answer there, and below MICRO_BASE_DOMAIN
# Where people have the pages, and where the gateway has no service of a tenant's. In `local` the pages are wherever
# they answer, and services are at localhost, too, at addresses, and at further names of this machine.
if MICRO_PROFILE == LOCAL:
    MICRO_PAGE_HOSTS: tuple[str, ...] = ("*",)
    _shared = (*_here, MICRO_BASE_DOMAIN)
    MICRO_DASHBOARD_HOSTS = tuple(host for host in _own if host not in _shared and not strangers.is_address(host))
else:
    MICRO_PAGE_HOSTS = MICRO_DASHBOARD_HOSTS = (*_own, *_further)
    for _host in MICRO_PAGE_HOSTS:
        _refusal = strangers.shared_host(_host, base_domain=MICRO_BASE_DOMAIN)
        env.refuse(bool(_refusal), _refusal)

# Of other sites, whose pages may call the platform's services and the REST API.
MICRO_ALLOWED_ORIGINS = tuple(origin.lower() for origin in env.words("MICRO_ALLOWED_ORIGINS"))
for _origin in MICRO_ALLOWED_ORIGINS:
    env.refuse(
        not re.fullmatch(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:\d+)?", _origin),
        f"MICRO_ALLOWED_ORIGINS names {_origin!r}: say http(s)://host or http(s)://host:port, as browsers do.",
    )
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
MIDDLEWARE = [
    "project.pages.headers.Headers",
    "project.pages.sites.Sites",
    "project.pages.cookies.Prefixed",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tenants.sessions.Ending",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "project.pages.errors.ErrorPages",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "tenants.pages.header",
            ],
        },
    }
]
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # straight from the apps: nothing to collect
