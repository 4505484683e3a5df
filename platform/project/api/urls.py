"""Everything below /v1."""

from __future__ import annotations

from django.urls import include, path, re_path

from .schema import Missing, Schema, docs

urlpatterns = [
    path("", include("runtime.api")),
    path("", include("tenants.api")),
    path("schema", Schema.as_view(), name="api-schema"),
    path("docs", docs, name="api-docs"),
    re_path("", Missing.as_view()),
]
