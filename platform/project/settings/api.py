"""The REST API."""

from __future__ import annotations

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["project.api.authentication.Bearer"],
    "DEFAULT_PERMISSION_CLASSES": [],  # transport.rest.Endpoint brings its own, and its own parser
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "project.api.errors.handle",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "URL_FORMAT_OVERRIDE": None,
    "STRICT_JSON": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "micro",
    "VERSION": "1",
    "DESCRIPTION": "Deploy services, watch them, and read their logs: the same operations as the command line's.",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/v1",
    "COMPONENT_SPLIT_REQUEST": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "DeploymentState": "runtime.models.Deployment.State",
        "ReplicaState": "runtime.models.Replica.State",
        "ServiceStatus": "runtime.documents.STATUSES",
        "ApiTokenRole": "tenants.models.ApiToken.Role",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "project.api.schema.refuse_unknown_fields",
    ],
}
