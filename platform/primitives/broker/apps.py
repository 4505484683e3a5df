"""The Broker app."""

from __future__ import annotations

from django.apps import AppConfig


class BrokerConfig(AppConfig):
    """Messages between those who are there; keeps nothing."""

    name = "primitives.broker"
    label = "micro_broker"
