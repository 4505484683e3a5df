"""The configuration of supervisor, as text. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from .plan import Plan
from .programs import Program

SERVERS, PLATFORM = "servers", "platform"
STOP_WAIT_S = {SERVERS: 3, PLATFORM: 5}  # one group after the other: 8 s, then killed


def render(plan: Plan, servers: Sequence[Program], platform: Sequence[Program]) -> str:
    """supervisord.conf: two groups, the platform stopped before the servers. Nothing starts before it is told to."""
    parts = [_head(plan)]
    for priority, (group, programs) in enumerate([(SERVERS, servers), (PLATFORM, platform)], start=1):
        names = ",".join(program.name for program in programs)
        parts.append(f"[group:{group}]\nprograms={names}\npriority={priority}\n")
        parts += [_program(plan, program, group) for program in programs]
    return "\n".join(parts)


def _head(plan: Plan) -> str:
    return f"""\
[supervisord]
nodaemon=true
silent=true
logfile={_quoted(str(plan.log("supervisor")))}
logfile_maxbytes=10MB
logfile_backups=1
pidfile={_quoted(str(plan.run / "supervisor.pid"))}
childlogdir={_quoted(str(plan.logs))}
umask=077

[unix_http_server]
file={_quoted(str(plan.supervisor_socket))}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{_quoted(str(plan.supervisor_socket))}
"""


def _program(plan: Plan, program: Program, group: str) -> str:
    lines = [
        f"[program:{program.name}]",
        f"command={_quoted(shlex.join(program.command))}",
        f"directory={_quoted(program.folder)}",
        "autostart=false",
        f"autorestart={'false' if program.runs_once else 'true'}",
        f"startsecs={0 if program.runs_once else 1}",
        "startretries=1000",  # project.server.supervision gives up, with a sentence
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={STOP_WAIT_S[group]}",
        f"stopasgroup={'false' if program.name == 'postgres' else 'true'}",  # its children take SIGINT as "cancel"
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_quoted(_quoted(str(plan.log(program.name))))}",  # this one option it expands twice
        "stdout_logfile_maxbytes=10MB",
        "stdout_logfile_backups=2",
    ]
    if program.user:
        lines.append(f"user={program.user}")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """A value as supervisor reads it back: it expands %."""
    return value.replace("%", "%%")
