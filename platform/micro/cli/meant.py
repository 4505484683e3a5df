"""What somebody may have meant by a word that is neither a command nor a service."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .help import COMMANDS

RUN = "To deploy a folder or a git repository: `micro run .` or `micro run URL`"
LIST = "To see what runs: micro status; what can be called: micro services"
RESTART = "To start a service anew, without a failed request: micro redeploy NAME"
STOP = "To stop and remove a service: micro kill NAME"
SCALE = "To change how many replicas run: micro update NAME --instances 3"
VARS = "A service's variables, without colons: micro vars set NAME KEY=value; micro vars list NAME shows them"
LOGS = "To follow what a service prints: micro logs --follow NAME"
HOST = "A service has its host without a command: micro status -o json NAME shows the address"
SHELL = "There is no shell in what runs: micro logs NAME shows what it prints, micro status NAME how it is"
BACK = "To go back: micro deployments NAME lists what was deployed, micro redeploy ID deploys it anew"
PAGES = "To open the platform's pages: micro web; a service's own address: micro status -o json NAME"
INSIDE = "Nothing has to be added for data: micro store list, micro config get, micro events publish"
NAMESPACES = "Projects are namespaces. To see yours: micro namespaces; to choose one: micro user namespace set NAME"
ACCOUNTS = "To see who has access: micro auth list accounts"
CHOOSE = "To choose a server: micro env set NAME; a namespace: micro user namespace set NAME"
DETAILS = "To see one service in full: micro get service NAME"
USED = "To see what a service uses: micro stats NAME"
EXPOSE = "To let others call what runs on this machine: micro service --name NAME --endpoint http://localhost:PORT"

# Words of other platforms' command lines, and what does that here.
FOREIGN = {
    **dict.fromkeys(("deploy", "up", "push", "publish", "start", "launch"), RUN),
    **dict.fromkeys(("ps", "apps", "ls", "list", "pods", "components", "processes", "machines"), LIST),
    **dict.fromkeys(("restart", "reload"), RESTART),
    **dict.fromkeys(("stop", "down", "rm", "destroy", "delete", "remove", "undeploy"), STOP),
    **dict.fromkeys(("scale", "ps:scale"), SCALE),
    **dict.fromkeys(("domains", "domain", "certs", "ssl", "dns", "url", "ip"), HOST),
    **dict.fromkeys(("exec", "ssh", "shell", "bash", "attach", "enter"), SHELL),
    **dict.fromkeys(("rollback", "releases", "history", "builds"), BACK),
    **dict.fromkeys(("info", "inspect", "describe", "show"), DETAILS),
    **dict.fromkeys(("open", "dashboard", "console", "browse", "ui"), PAGES),
    **dict.fromkeys(("addons", "resources", "volumes", "db", "database", "databases", "postgres", "redis"), INSIDE),
    **dict.fromkeys(("projects", "project", "spaces", "teams", "orgs", "workspaces", "ns"), NAMESPACES),
    **dict.fromkeys(("members", "users", "accounts", "access", "collaborators"), ACCOUNTS),
    **dict.fromkeys(("switch", "use", "context", "contexts", "target", "link"), CHOOSE),
    **dict.fromkeys(("top", "metrics", "monitor", "usage"), USED),
    **dict.fromkeys(("expose", "tunnel", "port-forward", "forward"), EXPOSE),
    **dict.fromkeys(("signin", "sign-in", "log-in"), "To log in: micro login"),
    **dict.fromkeys(("signout", "sign-out", "log-out"), "To log out: micro logout"),
    **dict.fromkeys(("register", "sign-up", "join"), "To get an account: micro signup"),
    **dict.fromkeys(("dev", "watch"), "To deploy a folder whenever it changes: micro run --watch ."),
    "whoami": "To see who is logged in: micro user",
    "version": "To see the version: micro --version",
    "health": "To ask a service's nodes how they are: micro debug health NAME",
    "build": RUN,
    "create": "To begin a service: micro new NAME; to deploy what there is: `micro run .`",
    "tail": LOGS,
    "config:set": VARS,
    "config:get": VARS,
    "ps:restart": RESTART,
    "ps:stop": STOP,
    "apps:create": "A service is made when it is first deployed: `micro run .`",
    "apps:destroy": STOP,
    "invoke": "To call a service: micro call NAME Handler.Method '{}', or micro NAME METHOD --field=value",
}
# Their nouns, before a colon.
NOUNS = {"config": VARS, "env": VARS, "logs": LOGS, "ps": LIST, "apps": LIST, "domains": HOST, "releases": BACK}


def hint(word: str, services: Callable[[], Iterable[str]] = tuple) -> str:
    """What does it here, or which command or service is spelled nearly so, on a line of its own; blank for no idea."""
    if sentence := FOREIGN.get(word) or (NOUNS.get(word.partition(":")[0]) if ":" in word else None):
        return f"\n{sentence}."
    return nearest(word, [*services(), *COMMANDS], "micro")


def nearest(word: str, known: Iterable[str], path: str) -> str:
    """The subcommand of `path` that is spelled nearly like the word, as a line of its own; blank when none is."""
    import difflib

    close = difflib.get_close_matches(word, list(known), 1)
    return f"\nDid you mean `{path} {close[0]}`?" if close else ""
