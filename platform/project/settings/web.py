"""The web process."""

from __future__ import annotations

from project import env

from .base import ROOT

MICRO_WEB_ADDRESS = env.address("MICRO_WEB_ADDRESS", "127.0.0.1:8082")
ALLOWED_HOSTS = [*env.words("MICRO_ALLOWED_HOSTS"), "localhost", "127.0.0.1", "[::1]", MICRO_WEB_ADDRESS[0]]
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
