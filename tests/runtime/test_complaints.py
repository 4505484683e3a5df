"""Which lines are quoted of what tools printed when a build failed. The outputs are recorded from real ones."""

from __future__ import annotations

import pytest

from runtime.builds import complaints

PIP = """Collecting nosuchthing
ERROR: Could not find a version that satisfies the requirement nosuchthing==9 (from versions: none)
ERROR: No matching distribution found for nosuchthing==9

[notice] A new release of pip is available: 24.0 -> 25.0
ERROR: The command '/bin/sh -c pip install -r requirements.txt' returned a non-zero code: 1
"""
PIP_BUILDKIT = """#7 [4/5] RUN pip install --no-cache-dir -r requirements.txt
#7 1.204 ERROR: Could not find a version that satisfies the requirement nosuchthing==9 (from versions: none)
#7 1.205 ERROR: No matching distribution found for nosuchthing==9
#7 ERROR: process "/bin/sh -c pip install -r requirements.txt" did not complete successfully: exit code: 1
------
 > [4/5] RUN pip install --no-cache-dir -r requirements.txt:
1.204 ERROR: Could not find a version that satisfies the requirement nosuchthing==9 (from versions: none)
1.205 ERROR: No matching distribution found for nosuchthing==9
------
ERROR: failed to build: failed to solve: process "/bin/sh -c pip install" did not complete successfully: exit code: 1
"""
NPM_404 = """\x1b[0m\x1b[91mnpm error code E404
npm error 404 Not Found - GET https://registry.npmjs.org/nosuchthing-xyz-1
npm error 404
npm error 404  The requested resource 'nosuchthing-xyz-1@1.0.0' could not be found or you do not have permission to \
access it.
npm error 404
npm error 404 Note that you can also install from a
npm error 404 tarball, folder, http url, or git url.
npm notice New major version of npm available! 10.8.2 -> 12.2.2
npm error A complete log of this run can be found in: /root/.npm/_logs/2026-11-28T05_07_55_410Z-debug-0.log
"""
NPM_OLDER = """npm ERR! code ETARGET
npm ERR! notarget No matching version found for ms@99.0.0.
npm ERR! notarget In most cases you or one of your dependencies are requesting
npm ERR! notarget a package version that doesn't exist.

npm ERR! A complete log of this run can be found in: /root/.npm/_logs/x.log
"""
NPM_CI = """npm error code EUSAGE
npm error
npm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.
npm error
npm error Missing: ms@1.0.0 from lock file
npm error
npm error Clean install a project
npm error
npm error Usage:
npm error npm ci
npm error
npm error Options:
npm error [--install-strategy <hoisted|nested|shallow|linked>] [--legacy-bundling]
npm error
npm error   --install-strategy
npm error     Sets the strategy for installing packages in node_modules.
npm error
npm error aliases: clean-install, ic, install-clean, isntall-clean
npm error
npm error Run "npm help ci" for more info
"""
SYNTAX = """
> build
> node b.js

/srv/x/b.js:1
const a = ;
          ^

SyntaxError: Unexpected token ';'
    at wrapSafe (node:internal/modules/cjs/loader:1464:18)
    at node:internal/main/run_main_module:28:49

Node.js v20.20.2
npm error Lifecycle script `build` failed with error:
npm error code 1
npm error path /srv/x
npm error workspace x
npm error location /srv/x
npm error command failed
npm error command sh -c node b.js
"""
NO_MODULE = """node:internal/modules/cjs/loader:1210
  throw err;
  ^

Error: Cannot find module 'nosuch'
Require stack:
- /srv/x/b.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15) {
  code: 'MODULE_NOT_FOUND',
}

Node.js v20.20.2
"""
YARN_1 = """yarn install v1.22.22
warning package.json: No license field
[1/4] Resolving packages...
error Couldn't find any versions for "ms" that matches "99.0.0"
info Visit https://yarnpkg.com/en/docs/cli/install for documentation about this command.
"""
YARN_4 = """➤ YN0000: · Yarn 4.12.0
➤ YN0000: ┌ Resolution step
➤ YN0085: │ + ms@npm:2.1.3
➤ YN0082: │ ms@npm:99.0.0: No candidates found
➤ YN0000: └ Completed
➤ YN0000: · Failed with errors in 0s 137ms
"""
YARN_FROZEN = """➤ YN0000: ┌ Post-resolution validation
➤ YN0028: │ -  version: 8
➤ YN0028: │ +  version: 10
➤ YN0028: │ The lockfile would have been modified by this install, which is explicitly forbidden.
➤ YN0000: · Failed with errors in 0s 152ms
"""
PNPM = """ ERR_PNPM_NO_MATCHING_VERSION  No matching version found for ms@99.0.0

This error happened while installing a direct dependency of /srv/x

The latest release of ms is "2.1.3".
"""
GO = """# x
./main.go:2:15: undefined: fmt
./main.go:3:2: declared and not used: x
"""
GO_DOWNLOAD = """go: downloading github.com/google/uuid v1.6.0
go: github.com/google/nosuch@v1.0.0: reading https://proxy.golang.org/nosuch/@v/v1.0.0.mod: 404 Not Found
\tserver response: not found
"""
QUOTED = {
    "pip": (
        PIP,
        "ERROR: Could not find a version that satisfies the requirement nosuchthing==9 (from versions: none); "
        "ERROR: No matching distribution found for nosuchthing==9",
    ),
    "pip, by BuildKit": (
        PIP_BUILDKIT,
        "ERROR: Could not find a version that satisfies the requirement nosuchthing==9 (from versions: none); "
        "ERROR: No matching distribution found for nosuchthing==9",
    ),
    "npm, no such package": (
        NPM_404,
        "code E404; 404 Not Found - GET https://registry.npmjs.org/nosuchthing-xyz-1; 404 The requested resource "
        "'nosuchthing-xyz-1@1.0.0' could not be found or you do not have permission to access it.",
    ),
    "npm, no such version": (NPM_OLDER, "code ETARGET; notarget No matching version found for ms@99.0.0."),
    "npm ci": (
        NPM_CI,
        "code EUSAGE; `npm ci` can only install packages when your package.json and package-lock.json are in sync.; "
        "Missing: ms@1.0.0 from lock file",
    ),
    "node, syntax": (SYNTAX, "/srv/x/b.js:1; SyntaxError: Unexpected token ';'"),
    "node, module": (NO_MODULE, "Error: Cannot find module 'nosuch'"),
    "yarn 1": (YARN_1, 'error Couldn\'t find any versions for "ms" that matches "99.0.0"'),
    "yarn 4": (YARN_4, "YN0082: ms@npm:99.0.0: No candidates found"),
    "yarn 4, frozen": (
        YARN_FROZEN,
        "YN0028: The lockfile would have been modified by this install, which is explicitly forbidden.",
    ),
    "pnpm": (PNPM, "ERR_PNPM_NO_MATCHING_VERSION No matching version found for ms@99.0.0"),
    "shell": ("\n> build\n> tsc -p .\n\nsh: 1: tsc: not found\n", "sh: 1: tsc: not found"),
    "tsc": (
        "> tsc\n\nsrc/a.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.\n",
        "src/a.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.",
    ),
    "go": (GO, "./main.go:2:15: undefined: fmt; ./main.go:3:2: declared and not used: x"),
    "go, download": (
        GO_DOWNLOAD,
        "go: github.com/google/nosuch@v1.0.0: reading https://proxy.golang.org/nosuch/@v/v1.0.0.mod: 404 Not Found",
    ),
    "go, version": (
        "go: go.mod requires go >= 1.99 (running go 1.26.8; GOTOOLCHAIN=local)\n",
        "go: go.mod requires go >= 1.99 (running go 1.26.8; GOTOOLCHAIN=local)",
    ),
    "another": ("one\ntwo\n\n", "one two"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("case", QUOTED)
def test_the_lines_that_say_why_are_quoted(case):
    output, words = QUOTED[case]
    assert complaints.of_command(output) == words


def test_a_log_is_read_from_where_the_command_began(tmp_path):
    (tmp_path / "log").write_text("error: of an earlier one\nerror: of this one\n")
    assert complaints.printed(tmp_path / "log", 25) == "error: of this one\n"
