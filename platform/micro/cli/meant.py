"""What somebody may have meant by a word that is neither a command nor a service."""

from __future__ import annotations

import difflib

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

# Words of other platforms' command lines, and what does that here.
FOREIGN = {
    **dict.fromkeys(("deploy", "up", "push", "publish", "start", "launch"), RUN),
    **dict.fromkeys(("ps", "apps", "ls", "list"), LIST),
    **dict.fromkeys(("restart", "reload"), RESTART),
    **dict.fromkeys(("stop", "down", "rm", "destroy", "delete", "remove", "undeploy"), STOP),
    **dict.fromkeys(("scale", "ps:scale"), SCALE),
    **dict.fromkeys(("domains", "certs"), HOST),
    **dict.fromkeys(("exec", "ssh", "shell", "bash", "attach", "enter"), SHELL),
    **dict.fromkeys(("rollback", "releases"), BACK),
    "info": "To see one service in full: micro get service NAME",
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


def hint(word: str) -> str:
    """The command that does it here, or that is spelled nearly so, as a line of its own; blank for no idea."""
    if sentence := FOREIGN.get(word) or (NOUNS.get(word.partition(":")[0]) if ":" in word else None):
        return f"\n{sentence}."
    close = difflib.get_close_matches(word, COMMANDS, 1)
    return f"\nDid you mean `micro {close[0]}`?" if close else ""
