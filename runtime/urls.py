"""Which page of a namespace's services answers which URL, below `n/<namespace>/`."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("", views.services, name="services"),
    path("deploy", views.deploy, name="deploy"),
    path("deploy/check", views.check_source, name="check-source"),
    path("deployments/<uuid:id>", views.deployment, name="deployment"),
    path("deployments/<uuid:id>/log", views.deployment_log, name="deployment-log"),
    path("deployments/<uuid:id>/stream", views.deployment_stream, name="deployment-stream"),
    path("deployments/<uuid:id>/redeploy", views.redeploy, name="redeploy"),
    path("deployments/<uuid:id>/cancel", views.cancel, name="cancel"),
    path("services/<str:name>", views.service, name="service"),
    path("services/<str:name>/log", views.service_log, name="service-log"),
    path("services/<str:name>/stream", views.service_stream, name="service-stream"),
    path("services/<str:name>/variables", views.set_variables, name="variables"),
    path("services/<str:name>/delete", views.delete, name="delete"),
]
