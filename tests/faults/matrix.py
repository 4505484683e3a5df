"""The whole matrix: each process killed at each step of a deploy, under load. `make test-faults` runs it.

By steps, then by processes: a process that is killed too often within a minute is given up, and rightly.
"""

from __future__ import annotations

import engines
import pytest
from cells import play
from steps import STEPS
from target import Target
from victims import DOCKERD, PROGRAMS

ON_THE_ENGINE = ("worker", "runner", DOCKERD)


@pytest.mark.parametrize("victim", PROGRAMS)
@pytest.mark.parametrize("step", STEPS)
def test_a_deploy_of_processes_ends_well_when_one_of_ours_is_killed(
    processes: Target, outcomes: list, victim: str, step: str
):
    outcomes.append(play(processes, victim, step, "process"))
    assert not outcomes[-1].problem


@pytest.mark.parametrize("victim", ON_THE_ENGINE)
@pytest.mark.parametrize("step", STEPS)
def test_a_deploy_of_containers_ends_well_when_one_of_ours_or_the_engine_is_killed(
    boxes: Target, outcomes: list, victim: str, step: str
):
    if victim == DOCKERD and engines.own() is None:
        pytest.skip("The Docker engine is not one that tests/engine/up started, and not ours to kill.")
    outcomes.append(play(boxes, victim, step, "docker"))
    assert not outcomes[-1].problem
