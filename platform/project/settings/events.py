"""What a namespace may use of events and broker unless its plan says otherwise."""

from __future__ import annotations

from project import env

MICRO_EVENTS_AGE = env.duration("MICRO_EVENTS_AGE", default="7d")  # then an event is gone, consumed or not
MICRO_EVENTS_BYTES = env.number("MICRO_EVENTS_BYTES", 1024**3)  # of all topics; the oldest go first
MICRO_EVENTS_GROUPS = env.number("MICRO_EVENTS_GROUPS", 100)
MICRO_EVENTS_CONSUMERS = env.number("MICRO_EVENTS_CONSUMERS", 1000)  # open at a time
MICRO_EVENTS_PER_SECOND = env.number("MICRO_EVENTS_PER_SECOND", 2000)
MICRO_EVENTS_DEAD_LETTERS = env.number("MICRO_EVENTS_DEAD_LETTERS", 10_000)  # kept; the oldest go first
MICRO_BROKER_PER_SECOND = env.number("MICRO_BROKER_PER_SECOND", 5000)
MICRO_BROKER_SUBSCRIBERS = env.number("MICRO_BROKER_SUBSCRIBERS", 1000)  # open at a time
