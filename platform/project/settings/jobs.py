"""Celery and NATS. `micro server` sets both URLs to its embedded servers when they are unset."""

from __future__ import annotations

from project import env

CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", "redis://localhost:6379/0")
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "deploys"
# What looks after others' work has a queue and a process of its own: it never waits for a build.
CELERY_TASK_ROUTES = {name: {"queue": "chores"} for name in ("runtime.sweep", "blobs.*", "store.*")}
MICRO_BUILDS = env.number("MICRO_BUILDS", 8)  # at a time, in all; a namespace has MICRO_DEFAULT_BUILDS of them
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # in memory: the rows say what is due, beat only knocks
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "runtime.sweep", "schedule": 5.0, "options": {"expires": 5}},
    "blobs": {"task": "blobs.remove_leftovers", "schedule": 600.0, "options": {"expires": 600}},
    "store": {"task": "store.remove_expired", "schedule": 60.0, "options": {"expires": 60}},
}

NATS_URL = env.text("NATS_URL", "nats://localhost:4222")
