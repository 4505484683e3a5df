"""What is quoted of a program that ended: why, and where in its own sources. Outputs are of real programs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.last_words import LINES_AFTER, telling

DEEP = """up
Traceback (most recent call last):
  File "/app/main.py", line 7, in <module>
    import web.views
  File "/app/web/views.py", line 3, in <module>
    json.loads("{")
  File "/usr/local/lib/python3.11/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
  File "<frozen importlib._bootstrap>", line 1, in _find
json.decoder.JSONDecodeError: Expecting property name: line 1 column 2 (char 1)
"""
SYNTAX = """[2026] [7] [INFO] Booting worker with pid: 7
Traceback (most recent call last):
  File "/srv/e/lib/python3.11/site-packages/gunicorn/arbiter.py", line 609, in spawn_worker
    worker.init_process()
  File "/home/me/builds/micro/0a/source/main.py", line 66
    def (x
        ^
SyntaxError: invalid syntax
[2026] [7] [INFO] Worker exiting (pid: 7)
[2026] [1] [ERROR] Reason: Worker failed to boot.
"""
UNHEADED = """  File "/app/main.py", line 2
    print(
         ^
SyntaxError: '(' was never closed
"""
MODULE = """node:internal/modules/cjs/loader:1143
  throw err;
  ^

Error: Cannot find module 'express'
Require stack:
- /app/index.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1140:15)
    at require (/app/node_modules/x/y.js:1:2)
    at Object.<anonymous> (/app/lib/index.js:12:17) {
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/app/index.js' ]
}

Node.js v20.11.0
npm error Lifecycle script `start` failed with error:
"""
NODE_SYNTAX = """/app/index.js:3
foo(
   ^^

SyntaxError: missing ) after argument list
    at internalCompileFunction (node:internal/vm:73:18)
    at node:internal/main/run_main_module:28:49

Node.js v20.11.0
"""
PANIC = """listening
panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
sort.Slice(0x1)
\t/usr/local/go/src/sort/slice.go:23 +0x1d
main.main()
\t/app/cmd/web/main.go:8 +0x1d
exit status 2
"""
DEADLOCK = """fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
main.main()
\t/app/main.go:5 +0x2b
"""
PLAIN = "reading x.toml\n[ERROR] port 1 is taken\nbye\n"

OUTPUTS = {
    "python, deep": (
        DEEP,
        "json.decoder.JSONDecodeError: Expecting property name: line 1 column 2 (char 1) (web/views.py line 3)",
    ),
    "python, syntax": (SYNTAX, "SyntaxError: invalid syntax (main.py line 66)"),
    "python, syntax of the first file": (UNHEADED, "SyntaxError: '(' was never closed (main.py line 2)"),
    "python, handled": (DEEP + "GET /\n" * (LINES_AFTER + 1), "GET /"),
    "node, module": (MODULE, "Error: Cannot find module 'express' (lib/index.js line 12)"),
    "node, syntax": (NODE_SYNTAX, "SyntaxError: missing ) after argument list (index.js line 3)"),
    "node, handled": (NODE_SYNTAX + "GET /\n" * (LINES_AFTER + 1), "GET /"),
    "go, panic": (PANIC, "panic: runtime error: index out of range [5] with length 3 (cmd/web/main.go line 8)"),
    "go, deadlock": (DEADLOCK, "fatal error: all goroutines are asleep - deadlock! (main.go line 5)"),
    "plain, an error": (PLAIN, "[ERROR] port 1 is taken"),
    "plain": ("one\n  two\n\n", "two"),
    "plain, no error": ("0 errors: fine\nwill panic never\n", "will panic never"),
    "nothing": ("\n", ""),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_the_line_that_tells_why_is_quoted(case):
    output, words = OUTPUTS[case]
    assert telling(output) == words


def test_of_this_python_the_exception_and_the_own_frame_are_quoted(tmp_path):
    (tmp_path / "main.py").write_text("import json\n\njson.loads('{')\n")
    assert _said(tmp_path / "main.py").endswith(f"({tmp_path}/main.py line 3)")
    (tmp_path / "main.py").write_text("x = 1\ndef (y\n")
    assert _said(tmp_path / "main.py") == f"SyntaxError: invalid syntax ({tmp_path}/main.py line 2)"


def _said(script: Path) -> str:
    return telling(subprocess.run([sys.executable, script], capture_output=True, text=True, check=False).stderr)


def test_of_a_real_go_program_the_panic_and_the_own_line_are_quoted(tmp_path):
    go = shutil.which("go") or "/usr/local/go/bin/go"
    (tmp_path / "main.go").write_text('package main\n\nfunc main() {\n\tpanic("no moon")\n}\n')
    run = subprocess.run([go, "run", "main.go"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert telling(run.stderr) == f"panic: no moon ({tmp_path}/main.go line 4)"
