"""Whether a process is ready, seen from outside."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path
from urllib.error import URLError

import psycopg

PATIENCE_S = 2.0


def unix_socket_accepts(path: Path) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PATIENCE_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def port_accepts(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
    except OSError:
        return False
    return True


def http_answers(address: tuple[str, int], path: str) -> bool:
    """Whether a GET is answered with 200."""
    host, port = address
    target = f"[{host}]" if ":" in host else {"0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104 - asked, not bound
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{target}:{port}{path}", timeout=PATIENCE_S) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def postgres_answers(url: str) -> bool:
    """Whether Postgres takes a query."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
