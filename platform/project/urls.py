"""Which page answers which URL."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from project.pages.health import healthz
from project.pages.home import admin_login, home

urlpatterns = [
    path("", home, name="home"),
    path("healthz", healthz, name="healthz"),
    path("admin/login/", admin_login),  # one door, with its limits
    path("admin/", admin.site.urls),
    path("v1/", include("project.api.urls")),
    path("", include("tenants.urls")),
    path("n/<slug:namespace>/", include("runtime.urls")),
]
handler400 = "project.pages.errors.bad_request"
handler403 = "project.pages.errors.forbidden"
handler404 = "project.pages.errors.not_found"
handler500 = "project.pages.errors.failed"
