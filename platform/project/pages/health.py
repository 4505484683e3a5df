"""Whether this server can do its work, asked of the web process."""

from __future__ import annotations

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse

from project.server.probes import unix_socket_accepts


def healthz(_request: HttpRequest) -> JsonResponse:
    """200 when everything that a request needs answers; 503 otherwise, with what does not and why."""
    problems = {**_database(), **_sidecars()}
    if problems:
        return JsonResponse({"status": "unavailable", "problems": problems}, status=503)
    return JsonResponse({"status": "ok"})


def _database() -> dict[str, str]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return {"database": str(error).strip()}
    return {}


def _sidecars() -> dict[str, str]:
    """The sidecars of this machine that do not answer; on a cluster they are elsewhere and answer for themselves."""
    if not settings.MICRO_IS_SUPERVISED:
        return {}
    names = [f"sidecar-{index}" for index in range(settings.MICRO_SIDECAR_PROCESSES)]
    return {name: "does not listen" for name in names if not unix_socket_accepts(settings.MICRO_RUN / f"{name}.sock")}
