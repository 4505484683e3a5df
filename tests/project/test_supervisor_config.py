"""Claims about what supervisor is told: read back by supervisor's own parser."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from project.server import supervisor_config
from project.server.plan import Plan
from project.server.programs import Program


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    home = tmp_path / "100% mine; really"
    (home / "logs").mkdir(parents=True)
    return Plan(
        root=Path("/srv"),
        home=home,
        run=tmp_path,
        profile="local",
        addresses={},
        embedded=frozenset(),
        sidecars=1,
    )


def parsed(plan: Plan, servers: list[Program], platform: list[Program]) -> dict[str, list]:
    config = plan.run / "supervisor.conf"
    config.write_text(supervisor_config.render(plan, servers, platform))
    options = ServerOptions()
    options.realize(["-c", str(config)], doc="")
    groups = sorted(options.process_group_configs, key=lambda group: group.priority)
    return {group.name: group.process_configs for group in groups}


def test_the_platform_stops_before_the_servers_it_stands_on(plan):
    groups = parsed(plan, [Program(name="nats", command=("/bin/nats",))], [Program(name="web", command=("/bin/web",))])
    assert list(groups) == ["servers", "platform"]  # supervisor stops the last group first


def test_stopping_takes_less_than_ten_seconds_though_every_process_hangs():
    assert sum(supervisor_config.STOP_WAIT_S.values()) < 10


def test_arguments_with_blanks_quotes_and_percent_signs_reach_the_program_unchanged(plan):
    command = ("/bin/x", "a b", "100%", "it's", "%(here)s")
    [program] = parsed(plan, [Program(name="x", command=command)], [])["servers"]
    assert tuple(shlex.split(program.command)) == command
    assert program.stdout_logfile == str(plan.log("x"))


def test_a_service_process_is_started_again_however_often_it_ends_and_a_task_is_not(plan):
    groups = parsed(
        plan, [Program(name="once", command=("/x",), runs_once=True)], [Program(name="web", command=("/x",))]
    )
    assert not groups["servers"][0].autorestart
    assert groups["platform"][0].autorestart
    assert groups["platform"][0].startretries >= 1000


def test_no_process_is_started_before_it_is_told_to(plan):
    groups = parsed(plan, [Program(name="a", command=("/x",))], [Program(name="b", command=("/x",))])
    assert [process.autostart for group in groups.values() for process in group] == [False, False]
