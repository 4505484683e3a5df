"""Some cells of the matrix, for every run of the tests. `make test-faults` plays them all."""

from __future__ import annotations

import pytest
from cells import play
from target import Target


@pytest.mark.parametrize(
    ("victim", "step"),
    [("worker", "building"), ("postgres", "draining"), ("xds", "healthy"), ("runner", "starting")],
)
def test_a_deploy_ends_well_and_loses_no_request_when_one_of_our_processes_is_killed(
    processes: Target, outcomes: list, victim: str, step: str
):
    outcomes.append(play(processes, victim, step, "process"))
    assert not outcomes[-1].problem
