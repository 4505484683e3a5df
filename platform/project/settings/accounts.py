"""Signing up, e-mail, sessions, cookies, rate limits of people."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from project import env, strangers
from project.profiles import LOCAL

from .base import MICRO_HOME, MICRO_PROFILE
from .gateway import MICRO_API_ADDRESS, MICRO_NETWORK_ADDRESS, MICRO_PROXY_ADDRESS
from .runtime import MICRO_BACKEND
from .web import MICRO_WEB_ADDRESS, MICRO_WEB_HOST, MICRO_WEB_IS_SECURE, MICRO_WEB_URL

_OPEN, _CLOSED = "open", "closed"

MICRO_SIGNUP = env.choice("MICRO_SIGNUP", (_OPEN, _CLOSED) if MICRO_PROFILE == LOCAL else (_CLOSED, _OPEN))
MICRO_SIGNUP_IS_OPEN = MICRO_SIGNUP == _OPEN
MICRO_SIGNUP_ENVIRONMENT = env.text("MICRO_SIGNUP_ENVIRONMENT", MICRO_PROFILE)

_addresses = {
    "MICRO_WEB_ADDRESS": MICRO_WEB_ADDRESS,
    "MICRO_API_ADDRESS": MICRO_API_ADDRESS,
    "MICRO_PROXY_ADDRESS": MICRO_PROXY_ADDRESS,
    "MICRO_NETWORK_ADDRESS": MICRO_NETWORK_ADDRESS,
}
_refusal = strangers.refusal(signup_is_open=MICRO_SIGNUP_IS_OPEN, backend=MICRO_BACKEND, addresses=_addresses)
env.refuse(bool(_refusal), _refusal)  # where the backend is `auto`, `micro server` asks again when it is settled

CSRF_TRUSTED_ORIGINS = [MICRO_WEB_URL]

# `micro` and `micro-…`, prefixed or not, are ours: the gateway passes none of them on, in neither direction.
_prefix = "__Host-" if MICRO_WEB_IS_SECURE else ""
SESSION_COOKIE_NAME = f"{_prefix}micro"
CSRF_COOKIE_NAME = f"{_prefix}micro-csrf"
MICRO_DEVICE_COOKIE_NAME = f"{_prefix}micro-device"
MICRO_COOKIES = frozenset({SESSION_COOKIE_NAME, CSRF_COOKIE_NAME, MICRO_DEVICE_COOKIE_NAME})
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # not in a cookie more
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = MICRO_WEB_IS_SECURE
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Strict"
CSRF_FAILURE_VIEW = "project.pages.errors.csrf_failed"
SECURE_HSTS_SECONDS = 31_536_000 if MICRO_WEB_IS_SECURE else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
MICRO_SESSION_IDLE = env.duration("MICRO_SESSION_IDLE", default="12h" if MICRO_PROFILE == LOCAL else "30m")
MICRO_SESSION_LIFE = env.duration("MICRO_SESSION_LIFE", default="30d" if MICRO_PROFILE == LOCAL else "12h")
SESSION_COOKIE_AGE = int(MICRO_SESSION_LIFE.total_seconds())
LOGIN_URL = "login"

# Of an address that many people share, such as that of a proxy in front, which then must be counted here.
MICRO_PROXIES_IN_FRONT = env.number("MICRO_PROXIES_IN_FRONT", 0)

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Without a mail server, e-mails go to the web process' log and into files.
_mail = urlsplit(env.text("MICRO_EMAIL_URL", "file:"))
env.refuse(
    _mail.scheme not in {"file", "smtp", "smtps"} or (_mail.scheme != "file" and not _mail.hostname),
    "MICRO_EMAIL_URL is no smtp://user:password@host:port (STARTTLS when the port is 587) or smtps://….",
)
EMAIL_FILE_PATH = MICRO_HOME / "mail"
MICRO_SENDS_EMAIL = _mail.scheme != "file"
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend" if MICRO_SENDS_EMAIL else "project.mail.ConsoleAndFile"
EMAIL_HOST = _mail.hostname or ""
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
EMAIL_USE_SSL = _mail.scheme == "smtps"
EMAIL_PORT = _mail.port or (465 if EMAIL_USE_SSL else 25) if MICRO_SENDS_EMAIL else 25
EMAIL_USE_TLS = EMAIL_PORT == 587 and not EMAIL_USE_SSL
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("MICRO_EMAIL_FROM", f"micro@{MICRO_WEB_HOST}")
