"""What no service and no build sees of this machine: the server's state, every server's sockets, its user's files."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

SOCKETS = (Path("/run"), Path("/var/run"))  # of the machine's own servers, the Docker engine's among them


def folders() -> list[Path]:
    """Folders that are empty to whoever is walled in, none of them a link."""
    state = Path(settings.MICRO_HOME).resolve()
    database = (state / "postgres").resolve()
    found = [*users(), state, Path(settings.MICRO_RUN), *SOCKETS]
    found += [database.parent] if state not in database.parents else []
    if (host := str(conninfo_to_dict(settings.DATABASE_URL).get("host") or "")).startswith("/"):
        found.append(Path(host))
    resolved = dict.fromkeys(path.resolve() for path in found)
    return [path for path in resolved if path.is_dir() and path != Path("/")]


def users() -> list[Path]:
    """The folders of the server's own user: HOME, and the one that the system names."""
    return [Path.home(), Path(pwd.getpwuid(os.geteuid()).pw_dir)]


def files() -> Iterator[Path]:
    """What lies elsewhere and is the server's own, by its settings: sockets, and the key of its certificate."""
    urls = (settings.MICRO_DOCKER_HOST, os.environ.get("DOCKER_HOST", ""), settings.CELERY_BROKER_URL)
    for url in filter(None, urls):
        path = Path(urlsplit(url).path)
        is_local = urlsplit(url).scheme in {"unix", "redis+socket"}
        if is_local and path.is_socket() and not any(folder in path.resolve().parents for folder in folders()):
            yield path.resolve()
    if settings.MICRO_TLS_KEY and Path(settings.MICRO_TLS_KEY).is_file():
        yield Path(settings.MICRO_TLS_KEY).resolve()


def holds_more(path: Path) -> bool:
    """Whether the path is too much to be shown: the user's folder itself, or where programs keep what is theirs."""
    return any(path in {home, *home.parents, home / ".local"} for home in users())
