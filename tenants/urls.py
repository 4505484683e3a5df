"""Which page of the tenants' answers which URL."""

from __future__ import annotations

from django.urls import path

from . import device_views, views

urlpatterns = [
    path("login", views.log_in, name="login"),
    path("logout", views.log_out, name="logout"),
    path("signup", views.sign_up, name="signup"),
    path("signup/code", views.sign_up_code, name="signup-code"),
    path("signup/namespace", views.check_namespace, name="check-namespace"),
    path("reset", views.reset, name="reset"),
    path("reset/code", views.reset_code, name="reset-code"),
    path("device", device_views.device, name="device"),
    path("device/done", device_views.device_done, name="device-done"),
    path("n/<slug:namespace>/tokens", views.tokens, name="tokens"),
    path("n/<slug:namespace>/tokens/<uuid:id>/revoke", views.revoke_token, name="revoke-token"),
]
