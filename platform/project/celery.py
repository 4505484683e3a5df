"""The Celery app: `celery -A project.celery worker`. Tasks live in each app's tasks.py."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("project")
app.set_default()  # for every thread: tasks are sent from worker threads too
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def _keep_djangos_logging(**_signal: object) -> None:
    """A receiver is enough: with one connected, Celery leaves the logging that Django set up alone."""


setup_logging.connect(_keep_djangos_logging)
