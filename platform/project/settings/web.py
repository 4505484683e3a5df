"""The web process."""

from __future__ import annotations

from urllib.parse import urlsplit

from project import env

from .base import ROOT

MICRO_WEB_ADDRESS = env.address("MICRO_WEB_ADDRESS", "127.0.0.1:8082")

# Where people reach the pages, for links in e-mails; https makes cookies secure.
MICRO_WEB_URL = env.text("MICRO_WEB_URL", f"http://localhost:{MICRO_WEB_ADDRESS[1]}").rstrip("/")
_web = urlsplit(MICRO_WEB_URL)
env.refuse(
    _web.scheme not in {"http", "https"} or not _web.hostname or bool(_web.path or _web.query),
    f"MICRO_WEB_URL is {MICRO_WEB_URL!r}: say http(s)://host, without a path.",
)
MICRO_WEB_HOST = _web.hostname or ""
MICRO_WEB_IS_SECURE = _web.scheme == "https"
ALLOWED_HOSTS = [
    *env.words("MICRO_ALLOWED_HOSTS"),
    *("localhost", "127.0.0.1", "[::1]", MICRO_WEB_ADDRESS[0], MICRO_WEB_HOST),
]
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
MIDDLEWARE = [
    "project.pages.headers.Headers",
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
