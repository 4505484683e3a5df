"""Which queue each task goes to, and which process serves it."""

from __future__ import annotations

import pytest
from celery import current_app
from django.conf import settings

import project.celery  # noqa: F401 - the app, with its routes
from project.server import plan, programs

CHORES = {"runtime.sweep", "blobs.remove_leftovers", "store.remove_expired"}


def queue_of(task: str) -> str:
    return str(current_app.amqp.router.route({}, task)["queue"].name)


def options_of(program: str) -> str:
    (found,) = [each for each in programs.platform(plan.from_settings()) if each.name == program]
    return " ".join(found.command)


def test_what_looks_after_builds_never_waits_behind_them():
    assert queue_of("runtime.deploy") == "deploys"
    assert {queue_of(task) for task in CHORES} == {"chores"}
    assert "--queues deploys" in options_of("worker")
    assert "--queues chores" in options_of("chores")
    assert "--beat" in options_of("chores")
    assert "--beat" not in options_of("worker"), "who knocks must knock once"


def test_whatever_is_due_at_times_is_a_chore():
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} == CHORES


@pytest.mark.parametrize("builds", [1, 12])
def test_the_worker_builds_as_many_at_a_time_as_the_operator_says(settings, builds):
    settings.MICRO_BUILDS = builds
    assert f"--concurrency {builds}" in options_of("worker")
