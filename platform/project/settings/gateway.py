"""Envoy's addresses and the names that hosts are made of."""

from __future__ import annotations

from project import env

MICRO_BASE_DOMAIN = env.text("MICRO_BASE_DOMAIN", "localhost")
MICRO_API_ADDRESS = env.address("MICRO_API_ADDRESS", "127.0.0.1:8080")
MICRO_PROXY_ADDRESS = env.address("MICRO_PROXY_ADDRESS", "127.0.0.1:8081")
MICRO_NETWORK_ADDRESS = env.address("MICRO_NETWORK_ADDRESS", "127.0.0.1:8443")
MICRO_SERVICE_REQUESTS = env.number("MICRO_SERVICE_REQUESTS", 1000)  # open at a time, to one service
MICRO_RESERVED_NAMES = env.words("MICRO_RESERVED_NAMES")
env.refuse(MICRO_SERVICE_REQUESTS < 1, "MICRO_SERVICE_REQUESTS lets no request through: say 1 or more.")

# The certificate, with its chain, and its key, with which gateway and proxy speak TLS. Read again when they change.
MICRO_TLS_CERT = env.path("MICRO_TLS_CERT", ".") if env.text("MICRO_TLS_CERT", "") else None
MICRO_TLS_KEY = env.path("MICRO_TLS_KEY", ".") if env.text("MICRO_TLS_KEY", "") else None
env.refuse(
    (MICRO_TLS_CERT is None) != (MICRO_TLS_KEY is None),
    "MICRO_TLS_CERT and MICRO_TLS_KEY belong together: set both, or neither.",
)
