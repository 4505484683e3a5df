"""Whether the web process can do its work."""

from __future__ import annotations

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse


def healthz(_request: HttpRequest) -> JsonResponse:
    """200 when the database answers, 503 with the reason otherwise."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return JsonResponse({"status": "unavailable", "detail": str(error).strip()}, status=503)
    return JsonResponse({"status": "ok"})
