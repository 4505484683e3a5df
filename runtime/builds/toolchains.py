"""Builds in place with the toolchains that this machine has: Node, Go, static sites. For the process backend."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from micro import file_server
from micro.errors import FailedPrecondition
from runtime import folders
from runtime.attempts import Attempt
from runtime.sources import Fetched

from . import complaints, environments, workplaces
from .plans import SHELL, Artifact, Plan

SHOWN = {"node": "apt-get install nodejs npm", "npm": "apt-get install npm", "go": "apt-get install golang"}
FROM_NPM = {
    "NPM_CONFIG_REGISTRY": "YARN_NPM_REGISTRY_SERVER",
    "NODE_EXTRA_CA_CERTS": "YARN_HTTPS_CA_FILE_PATH",
    "HTTP_PROXY": "YARN_HTTP_PROXY",
    "HTTPS_PROXY": "YARN_HTTPS_PROXY",
}  # what npm and Node know by the first name, yarn knows by the second


def adapted(plan: Plan) -> Plan:
    """The plan as it is on this machine. Raises FailedPrecondition, naming it, when a toolchain is missing."""
    missing = [tool for tool in plan.tools if not _find(tool)]
    if missing:
        ways = " or ".join(f"`{SHOWN[tool]}`" for tool in missing)
        raise FailedPrecondition(
            f"{plan.language} (from {plan.evidence}) needs {' and '.join(missing)}, which this machine does not have: "
            f"install it ({ways}), or let the docker backend build it."
        )
    if plan.language == "static" and plan.line_from == "the platform":
        # -P: its neighbours are no modules for it.
        program = shlex.join([sys.executable, "-P", file_server.__file__, f"./{plan.folder}"])
        return replace(plan, line=f"exec {program}")
    return plan


def build(fetched: Fetched, plan: Plan, attempt: Attempt) -> Artifact:
    """Run the plan's commands in the fetched folder. Raises FailedPrecondition when one fails."""
    path = os.pathsep.join([*_folders(plan), *environments.BASE_PATH])
    env = environments.build_environment() | _caches(folders.cache(attempt.namespace)) | {"PATH": path}
    for line in (*plan.install, *plan.build):
        said_before = attempt.log.stat().st_size if attempt.log.exists() else 0
        if workplaces.run([SHELL, "-c", line], attempt, fetched, env=env) != 0:
            complaint = complaints.of_command(complaints.printed(attempt.log, said_before))
            raise FailedPrecondition(f"`{line}` failed: {complaint}")
    return Artifact(
        digest=fetched.digest,
        command=[SHELL, "-c", f"PATH={shlex.quote(path)}; export PATH; {plan.line}"],
        folder=fetched.folder,
        environment="",
        protocol=plan.protocol,
    )


def _caches(cache: Path) -> dict[str, str]:
    """Where packages are kept between builds."""
    passed = ("NPM_CONFIG_REGISTRY", "NODE_EXTRA_CA_CERTS", "GOPROXY", "GOPRIVATE", "GONOSUMDB")
    return {
        "NPM_CONFIG_CACHE": str(cache / "npm"),
        **{f"NPM_CONFIG_{name}": "false" for name in ("UPDATE_NOTIFIER", "FUND", "AUDIT")},
        "YARN_CACHE_FOLDER": str(cache / "yarn" / "packages"),
        "YARN_GLOBAL_FOLDER": str(cache / "yarn"),
        **{f"XDG_{kind}_HOME": str(cache / "node" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA", "STATE")},
        "GOMODCACHE": str(cache / "go" / "modules"),
        "GOCACHE": str(cache / "go" / "built"),
        "GOPATH": str(cache / "go" / "path"),
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-buildvcs=false -modcacherw",
        **{new: os.environ[old] for old, new in FROM_NPM.items() if old in os.environ},
        **{name: os.environ[name] for name in passed if name in os.environ},
    }


def _folders(plan: Plan) -> list[str]:
    return list(dict.fromkeys(str(Path(found).parent) for tool in plan.tools if (found := _find(tool))))


def _find(tool: str) -> str | None:
    """A program on the PATH of this server, or in the usual places."""
    usual = [*environments.BASE_PATH, "/usr/local/go/bin"]
    return shutil.which(tool, path=os.pathsep.join([os.environ.get("PATH", ""), *usual]))
