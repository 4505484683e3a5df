"""What a namespace may use unless its plan says otherwise."""

from __future__ import annotations

from project import env

MICRO_DEFAULT_REPLICAS = env.number("MICRO_DEFAULT_REPLICAS", 100)
MICRO_DEFAULT_ACCOUNTS = env.number("MICRO_DEFAULT_ACCOUNTS", 10_000)  # those of members are not counted
MICRO_DEFAULT_NODES = env.number("MICRO_DEFAULT_NODES", 1000)  # that services announce themselves
MICRO_DEFAULT_REQUESTS = env.number("MICRO_DEFAULT_REQUESTS", 4000)  # open at a time, to all services together
MICRO_DEFAULT_RULES = env.number("MICRO_DEFAULT_RULES", 200)  # each is compiled into every route it is about
MICRO_DEFAULT_RECORDS = env.number("MICRO_DEFAULT_RECORDS", 1_000_000)
MICRO_DEFAULT_RECORD_BYTES = env.number("MICRO_DEFAULT_RECORD_BYTES", 10 * 1024**3)
MICRO_DEFAULT_BLOB_BYTES = env.number("MICRO_DEFAULT_BLOB_BYTES", 100 * 1024**3)
MICRO_DEFAULT_BUILDS = env.number("MICRO_DEFAULT_BUILDS", 2)  # at a time
MICRO_DEFAULT_STREAMS = env.number("MICRO_DEFAULT_STREAMS", 2500)  # open at a time, of whatever kind
MICRO_DEFAULT_LOG_BYTES = env.number("MICRO_DEFAULT_LOG_BYTES", 64 * 1024**2)  # the oldest lines go first
MICRO_DEFAULT_UPLOAD_BYTES = env.number("MICRO_DEFAULT_UPLOAD_BYTES", 2 * 1024**3)  # of sources that are kept
MICRO_STREAMS_PER_ACCOUNT = env.number("MICRO_STREAMS_PER_ACCOUNT", 250)  # open at a time
MICRO_DEFAULT_CONFIG_BYTES = env.number("MICRO_DEFAULT_CONFIG_BYTES", 1024**2)
# What services of a namespace tell of themselves: descriptors, as large as the gateway makes them, endpoints, metadata.
MICRO_DEFAULT_INTERFACE_BYTES = env.number("MICRO_DEFAULT_INTERFACE_BYTES", 32 * 1024**2)
