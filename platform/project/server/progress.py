"""What the operator sees while the server starts, and when it is ready."""

from __future__ import annotations

import sys
import time

from .plan import Plan, reachable, text


class Progress:
    """One line per event on stderr, each with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def say(self, line: str) -> None:
        """Tell one event."""
        print(f"{self.elapsed_s:6.1f} s  {line}", file=sys.stderr, flush=True)  # noqa: T201 - talks to the operator


def welcome(plan: Plan, seconds: float) -> str:
    """The text that is shown when everything answers: addresses, login, next command."""
    address = plan.addresses
    lines = [
        f"micro is ready after {seconds:.1f} s.",
        "",
        f"  Web        http://{reachable(address['MICRO_WEB_ADDRESS'])}",
        f"  API        http://{reachable(address['MICRO_API_ADDRESS'])}",
        f"  Proxy      {reachable(address['MICRO_PROXY_ADDRESS'])}  (gRPC; the micro command talks to it)",
        f"  Network    {reachable(address['MICRO_NETWORK_ADDRESS'])}  (gRPC between services)",
        f"  State      {plan.home}  (logs in {plan.logs})",
        f"  Login      {_login(plan)}",
        "",
        f"  Next       {_next(plan)}",
        "",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)


def _login(plan: Plan) -> str:
    return "admin / micro" if plan.has_known_login else "admin, with the password from MICRO_ADMIN_PASSWORD"


def _next(plan: Plan) -> str:
    proxy = plan.addresses["MICRO_PROXY_ADDRESS"]
    where = "" if proxy[1] == 8081 else f"MICRO_PROXY={text(proxy)} "
    password = " --password micro" if plan.has_known_login else ""
    return f"{where}micro login --username admin{password} && {where}micro run examples/helloworld"
