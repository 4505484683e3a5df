"""The help of `micro` itself, with nothing imported for it: it has to be as quick as the shell."""

from __future__ import annotations

import os

import micro

TYPE_CHECKING = False  # importing typing for it would cost a tenth of the whole
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUMMARY = "Source to running in one command, and the services that a distributed system needs"

START_HERE = (
    ("micro server", "start the platform on this machine"),
    ("micro login", "local server: username admin, password micro"),
    ("micro new helloworld", "a service to begin with, in python, go or node"),
    ("micro run ./helloworld", "a folder, or github.com/org/repo, to a running service"),
    ("micro helloworld --name=Joe", "call a service: micro SERVICE [METHOD] --field=value"),
    ("micro status", "what runs, and what went wrong"),
)

# Each command lives in the module of its noun, which is imported when the command runs.
COMMANDS = {
    "auth": ("auth", "Manage accounts and access rules"),
    "broker": ("broker", "Publish messages and subscribe to them; nothing is kept"),
    "call": (
        "services",
        'Call a service\'s method with JSON, e.g. micro call helloworld Helloworld.Call \'{"name": "Joe"}\'',
    ),
    "cancel": ("cancel", "End a deployment that is under way; what ran before goes on running"),
    "cli": ("prompt", "Type commands at a prompt, with history and completion"),
    "completion": ("completion", "Print the script that completes micro's commands in a shell"),
    "config": ("config", "Show, change and look back on the configuration of services"),
    "debug": ("nodes", "Ask the nodes of services how they are"),
    "deployment": ("deployments", "Show a deployment: how far it is, or how it ended and why"),
    "deployments": ("deployments", "List what was deployed"),
    "doctor": ("doctor", "Check the installation, and name what is missing"),
    "env": ("env", "Show and choose the servers this command line talks to"),
    "events": ("events", "Publish and consume events, which topics keep for a while"),
    "gen": ("golang", "Generate the Go code of the current folder and those below it"),
    "get": ("get", "Show one thing in full: micro get service NAME"),
    "init": ("golang", "Write the Go file that builds profiles of plugins into a Micro 3 program"),
    "kill": ("run", "Stop and remove services"),
    "login": ("account", "Log in to a server"),
    "logout": ("account", "Log out of a server"),
    "logs": ("runtime", "Show what a service prints, or its build"),
    "namespaces": ("namespaces", "List and make namespaces"),
    "network": ("network", "Show where services are reached"),
    "new": ("new", "Make the folder of a new service, which runs, is tested and deploys as it stands"),
    "redeploy": ("deployments", "Deploy anew what a deployment deployed"),
    "run": ("run", "Build and run a folder or a git repository as a service"),
    "secrets": ("variables", "Show, set and remove the secrets of a service"),
    "server": ("server", "Start the platform on this machine"),
    "service": ("service", "Register what listens on this machine, so that others can call it by name"),
    "services": ("services", "List the services that can be called"),
    "shutdown": ("server", "Stop the platform that runs on this machine, and its services"),
    "signup": ("account", "Sign up to a server, or set a forgotten password"),
    "stats": ("nodes", "Show how long the nodes of a service have been up, and what they use"),
    "status": ("runtime", "Show what runs, since when, and what went wrong"),
    "store": ("store", "Read and write records and blobs"),
    "stream": ("services", "Call a method that streams, and print each message as it comes"),
    "tokens": ("api_tokens", "List, make and revoke API tokens"),
    "update": ("run", "Build and run a newer version of a service, without a failed request"),
    "user": ("user", "Show who is logged in, and their settings"),
    "vars": ("variables", "Show, set and remove the environment variables of a service"),
    "web": ("web", "Print the address of the platform's pages, and open them"),
}

# The spellings of each global option that takes a value, and what it means.
GLOBAL_OPTIONS = {
    "config_file": (("--c",), "The config file, instead of ~/.micro/config.json [MICRO_CONFIG_FILE]."),
    "environment": (("--env", "-e"), "The environment to talk to; see micro env [MICRO_ENV]."),
    "namespace": (("--namespace",), "The namespace to work in [MICRO_NAMESPACE]."),
    "address": (("--proxy_address",), "A server's address, instead of an environment's [MICRO_PROXY]."),
    "auth_id": (("--auth_id",), "The account to act as, instead of who is logged in [MICRO_AUTH_ID]."),
    "auth_secret": (("--auth_secret",), "That account's secret [MICRO_AUTH_SECRET]."),
}
WIDEST = 110


def text() -> str:
    usage = [
        "micro [global options] COMMAND [options] [arguments]",
        "micro [global options] SERVICE [METHOD] [--field=value]",
    ]
    commands = [(name, summary) for name, (_, summary) in COMMANDS.items()]
    commands.append(("help, h", "Show this, or the help of a command: micro help run"))
    options = [(", ".join(f"{name} value" for name in names), meaning) for names, meaning in GLOBAL_OPTIONS.values()]
    options += [("--version, -v", "Print the version."), ("--help, -h", "Show this message and exit.")]
    parts = [
        section("NAME", [f"micro - {SUMMARY}"]),
        section("USAGE", usage),
        section("START HERE", columns(START_HERE)),
        section("VERSION", [f"v{micro.__version__}"]),
        section("COMMANDS", columns(commands)),
        section("GLOBAL OPTIONS", columns(options)),
    ]
    return "\n\n".join(parts)


def version() -> str:
    return f"micro version v{micro.__version__}"


def section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{title}:", *(f"   {line}".rstrip() for line in lines)])


def columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Two columns, the second one wrapped to the terminal."""
    left = max((len(first) for first, _ in rows), default=0)
    width = max(40, min(_terminal_width(), WIDEST) - left - 6)
    lines: list[str] = []
    for first, second in rows:
        wrapped = _wrapped(second, width)
        lines.append(f"{first:<{left}}   {wrapped[0]}")
        lines += [f"{'':<{left}}   {line}" for line in wrapped[1:]]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _terminal_width() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:
        return WIDEST
