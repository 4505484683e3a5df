"""`micro run`, `update` and `kill`: what shall run, and what no longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .commands import Command, of_run, without_effect
from .failures import Failure
from .numbers import INT32_MAX, Number
from .output import output_option
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.proto.runtime_pb2 import CreateOptions, Service

    from .source import Source

SOURCE_HELP = """
    SOURCE is a folder of this machine (. is the current one), or a place in a git repository:
    host/org/repo[/folder][@ref], or its https:// URL, likewise with /folder and @ref. The service is named like the
    folder or repository, and its version is the ref, else latest.

    Waits until the service runs, and shows how it gets there on stderr. Ctrl-C stops the waiting, not the deployment.
"""
WATCH_MS = 1000

F = TypeVar("F", bound=Callable[..., Any])


def _shared(function: F) -> F:
    """The options of run and update."""
    options = [
        click.argument("source", default=""),
        click.option("--name", help="The service's name, instead of the folder's or repository's."),
        click.option("--source", "source_option", default="", help="The SOURCE, as an option."),
        click.option("--instances", "-i", type=Number(1), help="How many replicas run; one, or as many as there are."),
        click.option(
            "--grant",
            "grants",
            multiple=True,
            help="What it may do beyond a service's own, e.g. store.read or runtime.deploy; several times. "
            "`none` takes away what it has.",
        ),
        click.option("--detach", "-d", is_flag=True, help="Do not wait until it runs."),
        without_effect("--image", "images are built from the source"),
        without_effect("--type", "all that runs is of the type service"),
        output_option(meaning="the service, once it runs"),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command(cls=Command, help=f"Build and run a folder or a git repository as a service.\n{SOURCE_HELP}")
@_shared
@click.option("--command", default="", help="What starts it, instead of what the platform detects.")
@click.option("--args", default="", help="Arguments for the command.")
@click.option("--env_vars", multiple=True, help="Environment variables as k=v[,k=v]; may be given several times.")
@click.option("--secrets", multiple=True, help="The same for those that nobody may read again.")
@click.option("--metadata", multiple=True, help="What `micro status -o json` shows of it, as k=v; several times.")
@without_effect("--force", "what runs already is replaced without it", is_flag=True)
@click.option("--watch", is_flag=True, help="Update it whenever a file of the folder changes, until Ctrl-C.")
@click.option("--watch_delay", type=Number(50, INT32_MAX), default=WATCH_MS, help="Milliseconds of quiet before that.")
@pass_session
def run(session: Session, /, **given: Any) -> None:
    from micro import runtime

    from . import deployment, watching

    meant = _meant(session, given)
    if given["watch"] and (meant.folder is None or given["detach"]):
        raise Failure("--watch is for a folder, and not for --detach.")
    options = _options(given)

    def create(service: Service) -> None:
        _add_secrets(options, deployment.secrets(session, meant), given["secrets"])
        runtime.create(service, options, client=session.client)

    with watching.until_interrupted(meant.name if given["watch"] else ""):
        before = watching.Folder.of(meant.folder) if given["watch"] and meant.folder else None
        deployment.deploy(session, meant, create, is_awaited=not given["detach"], output=given["output"])
        if before:
            watching.watch(session, meant, before, delay_s=given["watch_delay"] / 1000)


@click.command(
    cls=Command,
    help=f"Build and run a newer version of a service, without a failed request.\n{SOURCE_HELP}\n"
    "    The NAME[@version] of a service that runs is a SOURCE, too: its own is fetched and built anew.\n",
)
@_shared
@of_run("--command", "--args", "--env_vars", why="an update keeps what `micro run` and `micro vars set` say")
@pass_session
def update(session: Session, /, **given: Any) -> None:
    from micro import runtime

    from . import deployment

    def change(service: Service) -> None:
        runtime.update(service, instances=given["instances"] or 0, grants=given["grants"], client=session.client)

    meant = _own_source(session, given) or _meant(session, given)
    deployment.require_deployed(session, meant)
    deployment.deploy(session, meant, change, is_awaited=not given["detach"], output=given["output"])


@click.command(cls=Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME[@VERSION]...")
@of_run("--source", "--image", "--command", "--args", "--type", "--env_vars")
@pass_session
def kill(session: Session, names: tuple[str, ...]) -> None:
    """Stop and remove services.

    A service's logs go with it. The version is latest unless it is given.
    """
    from micro import errors, runtime

    from .source import named

    missing: list[errors.NotFound] = []
    for name, version in map(named, names):
        try:
            runtime.delete(name, version, client=session.client)
        except errors.NotFound as error:
            if len(names) > 1:
                click.echo(f"{name}@{version}: {error.detail}", err=True)
            missing.append(error)
    if missing:
        raise Failure(missing[0].detail if len(names) == 1 else "", 127)


def _meant(session: Session, given: dict[str, Any]) -> Source:
    """The source that was typed. Without one, shows the help; raises Failure for two."""
    from . import deployment

    text = given["source"] or given["source_option"]
    if not text:
        context = click.get_current_context()
        click.echo(context.get_help())
        context.exit(0)
    if given["source"] and given["source_option"]:
        raise Failure("Say the SOURCE once: as an argument or with --source.")
    return deployment.resolved(session, text, given["name"], given.get("metadata", ()))


def _own_source(session: Session, given: dict[str, Any]) -> Source | None:
    """What runs under the name that was typed in the place of a source; None when that is a source, or nothing runs."""
    from pathlib import Path

    from micro import runtime

    from . import source as sources

    text = given["source"] or given["source_option"]
    if not text or "/" in text or text.startswith(".") or Path(text).exists():
        return None
    name, version = sources.named(text)
    found = runtime.read(name, version, client=session.client)
    if found and given["name"] and given["name"] != name:
        raise Failure(f"{text} is a service here, and --name says {given['name']}: say which one is updated.")
    shown = found[0].metadata.get("source", "") if found else ""
    return sources.Source(name=name, version=version, shown=shown, is_kept=True) if found else None


def _options(given: dict[str, Any]) -> CreateOptions:
    import shlex

    from micro.proto.runtime_pb2 import CreateOptions

    from . import deployment

    try:
        command, args = shlex.split(given["command"]), shlex.split(given["args"])
    except ValueError as error:
        raise Failure(f"The command cannot be understood: {error}.") from None
    env, instances = deployment.variables(given["env_vars"]), given["instances"] or 0
    return CreateOptions(command=command, args=args, env=env, instances=instances, grants=given["grants"])


def _add_secrets(options: CreateOptions, credentials: dict[str, str], given: tuple[str, ...]) -> None:
    from . import deployment

    options.secrets.update(credentials)
    options.secrets.update(dict(pair.split("=", 1) for pair in deployment.variables(given)))
