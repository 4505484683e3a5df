"""What the server knows, asked in short and kept in `~/.micro/completion` for some seconds."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from micro.cli.session import Session

if TYPE_CHECKING:
    from micro.client import Client

T = TypeVar("T")

KEPT_S = 5.0
FORGOTTEN_S = 3600.0
PATIENCE_S = 1.5  # for a server that does not answer; nobody waits for a completion


def session(ctx: click.Context) -> Session:
    """What the global options of the line choose."""
    chosen = ctx.find_root().params
    names = ("environment", "namespace", "address", "config_file")
    return Session(**{name: chosen.get(name) or "" for name in names})


def services(ctx: click.Context) -> list[str]:
    """The services of the namespace."""
    from micro import registry

    return _known(ctx, "services", lambda client: registry.services(client=client))


def running(ctx: click.Context) -> list[str]:
    """What was deployed, under the names that `kill` takes."""
    from micro import runtime

    def ask(client: Client) -> list[str]:
        found = runtime.read(client=client)
        return [one.name if one.version == "latest" else f"{one.name}@{one.version}" for one in found]

    return _known(ctx, "running", ask)


def tables(ctx: click.Context) -> list[str]:
    """The tables of the store."""
    from micro import store

    return _known(ctx, "tables", lambda client: store.tables(client=client))


def config_keys(ctx: click.Context) -> list[str]:
    """The dotted paths of what is set."""
    from micro import config

    return _known(ctx, "config", lambda client: list(_paths(json.loads(config.text("", client=client)))))


def _paths(tree: Any, path: str = "") -> Iterator[str]:
    if path:
        yield path
    if isinstance(tree, dict):
        for name, below in tree.items():
            yield from _paths(below, f"{path}.{name}".lstrip("."))


def methods(ctx: click.Context, service: str) -> list[dict[str, Any]]:
    """The methods of a service: `endpoint`, `command`, `comment` and `flags` of each."""

    def ask(client: Client) -> list[dict[str, Any]]:
        from micro.cli import dynamic
        from micro.cli.dynamic.endpoints import endpoints_of

        _, found = dynamic.found(client, service)
        return [_method(service, endpoint) for endpoint in endpoints_of(found)]

    return _known(ctx, f"service {service}", ask)


def _method(service: str, endpoint: Any) -> dict[str, Any]:
    from micro.cli.dynamic import flags, help

    known = [*flags.shown(endpoint.fields), *flags.shown(flags.options(endpoint))]
    return {
        "endpoint": endpoint.name,
        "command": help.as_command(service, endpoint.name),
        "comment": help.summary(endpoint.comment),
        "flags": [{"name": name, "help": _help(field), "values": _values(field)} for name, field in known],
    }


def _help(field: Any) -> str:
    from micro.cli.dynamic import help

    return help.summary(field.comment) or field.shown


def _values(field: Any) -> list[str]:
    if field.name == "output" and not field.members:
        return ["json", "raw"]
    return ["true", "false"] if field.type == "bool" else list(field.members)


# Asking.


def _known(ctx: click.Context, question: str, ask: Callable[[Client], list[T]]) -> list[T]:
    """The answer that was given just now, else the server's; empty when it has none in time."""
    from micro import home

    chosen = session(ctx)
    target = chosen.target
    name = hashlib.sha256(f"{target.address} {target.namespace} {question}".encode()).hexdigest()[:32]
    path = home.folder() / "completion" / f"{name}.json"
    kept = _kept(path)
    return _asked(chosen, path, ask) if kept is None else kept


def _kept(path: Path) -> list[Any] | None:
    with contextlib.suppress(OSError, ValueError):  # not there, or not whole: the server is asked
        if time.time() - path.stat().st_mtime < KEPT_S:
            return list(json.loads(path.read_text()))
    return None


def _asked(chosen: Session, path: Path, ask: Callable[[Client], list[T]]) -> list[T]:
    """The server's answer, kept for the next key press. A thread asks, and is left when it takes too long."""
    from micro import errors
    from micro.cli.failures import Failure

    answers: list[list[T]] = []

    def work() -> None:
        with contextlib.suppress(errors.Error, Failure, OSError):  # a server that is away has nothing to say
            answers.append(ask(chosen.client))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    answer = answers[0] if answers else []
    with contextlib.suppress(OSError):  # a home that cannot be written to only costs time
        _keep(path, answer)
    return answer


def _keep(path: Path, answer: list[Any]) -> None:
    from micro import home

    for folder in (home.folder(), path.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    home.write_private(path, json.dumps(answer))
    for old in path.parent.iterdir():
        if time.time() - old.stat().st_mtime > FORGOTTEN_S:
            old.unlink(missing_ok=True)
