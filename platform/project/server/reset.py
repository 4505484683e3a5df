"""`micro server --reset`: the state of one server is removed, all of it and nothing else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from project.embedded import postgres
from runtime.backends import choice

from . import leftovers
from .errors import CannotRun
from .plan import Plan

Say = Callable[[str], None]


def folders(plan: Plan) -> list[Path]:
    """What there is of this server's state: its folder, its databases elsewhere, the folder of its sockets."""
    return [path for path in (plan.home, *postgres.clusters(plan.home), plan.run) if path.exists()]


def run(plan: Plan, *, is_confirmed: bool, say: Say) -> None:
    """Name every folder, ask unless that `is_confirmed`, remove them. Raises CannotRun, having removed nothing.

    What a killed server has left running is ended first.
    """
    _require_plain(plan)
    if leftovers.is_new(plan.home) and not postgres.clusters(plan.home):
        raise CannotRun(f"No server has run on {plan.home}: there is nothing to remove.")
    plan.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with leftovers.only_server(plan.home):
        found = folders(plan)
        say("This removes all services, data and logs of this server, for good:")
        for path in found:
            say(f"  {path}")
        if not is_confirmed and not _agrees():
            raise CannotRun("Nothing was removed: answer yes, or give --yes.")
        leftovers.clean_up(plan)
        choice.stop_everything()
        leftovers.remove_run_folder(plan)
        for path in postgres.clusters(plan.home):
            postgres.remove(path)
        shutil.rmtree(plan.home)
    say("Removed. The next start begins anew.")


def _require_plain(plan: Plan) -> None:
    """Raises CannotRun where the state folder holds what is not a server's."""
    for kept in (Path.home(), plan.root, Path(sys.prefix)):
        if kept.resolve().is_relative_to(plan.home.resolve()):
            raise CannotRun(f"MICRO_HOME is {plan.home}, which holds {kept}: remove by hand what is the server's.")


def _agrees() -> bool:
    if not sys.stdin.isatty():
        return False
    print("Type yes to remove it: ", end="", flush=True)  # noqa: T201 - talks to the operator
    return sys.stdin.readline().strip() == "yes"
