"""What the runner does next, as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runtime import rollouts
from runtime.models import Replica, Service
from runtime.rollouts import Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)

# state, wanted, runs, acknowledged, due_at, not_before, killed: step
TABLE = [
    ("pending", True, False, False, None, None, False, Step.START),
    ("pending", True, False, False, None, PAST, False, Step.START),
    ("pending", True, False, False, None, FUTURE, False, Step.NOTHING),
    ("starting", True, True, False, FUTURE, None, False, Step.PROBE),
    ("starting", True, True, False, PAST, None, False, Step.GIVE_UP),
    ("starting", True, False, False, FUTURE, None, False, Step.RESTART),
    ("announced", True, True, False, None, None, False, Step.NOTHING),
    ("announced", True, True, True, None, None, False, Step.CONFIRM),
    ("announced", True, False, True, None, None, False, Step.RESTART),
    ("serving", True, True, True, FUTURE, None, False, Step.NOTHING),
    ("serving", True, False, True, FUTURE, None, False, Step.RESTART),
    ("failed", True, False, True, None, None, False, Step.NOTHING),
    ("pending", False, False, False, None, FUTURE, False, Step.FORGET),
    ("starting", False, True, False, FUTURE, None, False, Step.STOP),
    ("starting", False, False, False, FUTURE, None, False, Step.FORGET),
    ("announced", False, True, False, None, None, False, Step.LEAVE),
    ("serving", False, True, True, FUTURE, None, False, Step.LEAVE),
    ("serving", False, False, True, FUTURE, None, False, Step.LEAVE),
    ("leaving", False, True, False, PAST, None, False, Step.NOTHING),
    ("leaving", False, True, True, FUTURE, None, False, Step.DRAIN),
    ("leaving", False, False, False, FUTURE, None, False, Step.FORGET),
    ("leaving", False, True, False, FUTURE, None, True, Step.NOTHING),
    ("leaving", False, True, False, PAST, None, True, Step.DRAIN),
    ("draining", False, True, True, FUTURE, None, False, Step.NOTHING),
    ("draining", False, True, True, PAST, None, False, Step.STOP),
    ("draining", False, False, True, FUTURE, None, False, Step.FORGET),
    ("stopping", False, True, True, FUTURE, None, False, Step.NOTHING),
    ("stopping", False, True, True, PAST, None, False, Step.KILL),
    ("stopping", False, False, True, FUTURE, None, False, Step.FORGET),
    ("failed", False, True, True, None, None, False, Step.STOP),
    ("failed", False, False, True, None, None, False, Step.FORGET),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(map(str, row[:4])))
def test_each_replica_has_one_next_step(row):
    state, is_wanted, runs, acknowledged, due_at, not_before, is_killed, step = row
    replica = Replica(state=state, is_wanted=is_wanted, due_at=due_at, not_before=not_before, revision=7)
    replica.service = Service(deleted_at=NOW if is_killed else None)
    found = rollouts.next_step(
        replica, is_running=runs, has_acknowledged=lambda revision: acknowledged and revision == 7, at=NOW
    )
    assert found == step


def test_every_state_is_in_the_table_wanted_or_not():
    covered = {(row[0], row[1]) for row in TABLE}
    for state in Replica.State.values:
        assert (state, False) in covered
        assert (state, True) in covered or state in {"leaving", "draining", "stopping"}


def test_the_back_off_doubles_from_one_second_to_five_minutes():
    waits = [rollouts.back_off(crashes).total_seconds() for crashes in (1, 2, 3, 8, 9, 10, 1000)]
    assert waits == [1, 2, 4, 128, 256, 300, 300]
