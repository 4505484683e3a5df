"""How quick the command line is: its installation, its help, and a call to a server of this run's own.

Gates, each against `python -c pass` of the same environment: `micro --help` 3 times, `micro store read` on loopback 8
times; the wheel installs into a clean environment within 10 s, its packages cached. Both hold in the checkout, where
`micro` is found by a hook, and in that clean environment, where Python starts in half the time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from spine import ROOT, Server, median, report, seconds

from server import MICRO  # isort: skip - spine makes it importable

RUNS = 15


def installed(folder: Path) -> Path:
    """The `bin` of an environment with the wheel, which the second installation has from pip's cache."""
    wheel = next((ROOT / ".venv" / "share" / "micro").glob("*.whl"))
    for name in ("first", "second"):
        venv.create(folder / name, with_pip=True)
        pip = [folder / name / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        taken = seconds(lambda pip=pip: subprocess.run([*pip, "--only-binary", ":all:", wheel], check=True))
    report("pip install of the wheel, packages cached, no compiler", taken, "s", 10, gate=True)
    return folder / "second" / "bin"


def ratios(where: str, python: Path | str, micro: Path, server: Server) -> bool:
    """Measure and print what commands cost against an empty program; False when a gate is missed."""

    def run(*argv: object) -> float:
        def once() -> None:
            subprocess.run(list(map(str, argv)), env=server.client_env, check=True, stdout=subprocess.DEVNULL)

        return median(once, RUNS)

    empty = run(python, "-c", "pass")
    met = report(f"micro --help against python -c pass, {where}", run(micro, "--help") / empty, "x", 3, gate=True)
    reading = run(micro, "store", "read", "key") / empty
    return report(f"micro store read against python -c pass, {where}", reading, "x", 8, gate=True) and met


def main() -> int:
    """Measure, print, and fail when a gate is missed."""
    with tempfile.TemporaryDirectory(prefix="micro-bench-") as folder:
        clean = installed(Path(folder))
        server = Server(Path(folder) / "server")
        server.start()
        try:
            server.login()
            server.micro("store", "write", "key", "value")
            met = ratios("in the checkout", sys.executable, MICRO, server)
            met = ratios("in a clean environment", clean / "python", clean / "micro", server) and met
        finally:
            server.stop()
            server.forget()
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
