"""A user's first minute, typed for them: log in, run a service, call it. Nothing here but the ordinary command line.

Its own HOME keeps the user's environments and tokens as they are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .plan import Plan, from_settings, reachable, text

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ")


def commands(folder: str) -> list[tuple[str, ...]]:
    """What is typed, in order. The service is named like its folder."""
    return [
        ("micro", "login", "--username", "admin", "--password", "micro"),
        ("micro", "run", folder),
        ("micro", Path(folder).name, "--name=Joe"),
    ]


def curl(plan: Plan, folder: str) -> str:
    """The same call by HTTP."""
    return f'curl "http://{reachable(plan.addresses["MICRO_API_ADDRESS"])}/{Path(folder).name}?name=Joe"'


def main(folder: str) -> int:
    """Type the commands and show what they print; the status of the first that fails, else 0."""
    plan = from_settings()
    home = plan.home / "first-run"
    home.mkdir(exist_ok=True, mode=0o700)
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    proxy = f"http://{text(plan.addresses['MICRO_PROXY_ADDRESS'])}"  # without TLS, which this machine may do
    environment = {**passed, "HOME": str(home), "MICRO_PROXY": proxy}
    for command in commands(folder):
        _show(f"$ {' '.join(command)}")
        program = Path(sys.executable).with_name(command[0])
        done = subprocess.run([program, *command[1:]], env=environment, cwd=plan.root, check=False)
        if done.returncode != 0:
            if os.environ.get("MICRO_BACKEND") == "docker":
                _show("The services of this server are containers; as plain processes: MICRO_BACKEND=process make run")
            return done.returncode
    _show(f"The same by HTTP: {curl(plan, folder)}")
    return 0


def _show(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - its output is what the operator sees


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
