"""The Events app."""

from __future__ import annotations

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """Durable topics of a namespace; its tables hold what consumers have given up on."""

    name = "primitives.events"
    label = "micro_events"
