"""The gRPC servers of the primitives, each on its own Unix socket `MICRO_RUN/sidecar-<index>.sock`."""

from __future__ import annotations

from project import env

MICRO_SIDECAR_PROCESSES = env.number("MICRO_SIDECAR_PROCESSES", 1)
