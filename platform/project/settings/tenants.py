"""What a namespace may use unless its plan says otherwise."""

from __future__ import annotations

from project import env

MICRO_DEFAULT_REPLICAS = env.number("MICRO_DEFAULT_REPLICAS", 100)
