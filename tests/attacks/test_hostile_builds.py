"""Builds in place that look around: what a setup.py, an install script of npm and a service's own variables reach."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest
from server import ROOT, Server, eventually

from runtime.backends import bubblewrap

VICTIMS_SECRET = "the words of the victim's own file"
# What every hostile program does, in whatever way it comes to run: it looks, tries to write, and leaves its findings.
LOOKING = """
import glob, json, os, socket, sys

def read(path):
    try:
        return open(path, "rb").read(4096).decode(errors="replace")
    except OSError as error:
        return ""

def writes(path):
    try:
        open(path, "a").write("x")
        return True
    except OSError:
        return False

def connects(path):
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            return True
        except OSError:
            return False

def below(folder):
    return [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]

home, database, run, user, prefix, victims = ASKED
seen = [path for path in below(home) if not path.startswith(MINE)]
variables = ("NATS_URL", "DATABASE_URL", "MICRO_SUPERVISED_HOME")
sockets = [run + name for name in ("/postgres/.s.PGSQL.5432", "/valkey.sock", "/supervisor.sock", "/sidecar-0.sock")]
sockets += [*below(run), *below("/run"), "/var/run/docker.sock"]
places = [home + "/x", home + "/cache/uv/x", "/etc/x", "/usr/bin/x", prefix + "/x", user + "/x"]
places += ["/proc/sys/vm/swappiness"]
found = {
    "user": os.getuid(),
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")][0],
    "others": [path for path in seen if "victim" in path],
    "secrets": [path for path in seen if os.path.basename(path) in ("secret_key", "password", "superuser")],
    "key": read(home + "/secret_key"),
    "shadow": read("/etc/shadow"),
    "user's files": [name for name in os.listdir(user) if name.startswith((".ssh", ".micro", ".bash"))],
    "database": below(database),
    "environments": [name for path in glob.glob("/proc/[0-9]*/environ") for name in variables if name in read(path)],
    "processes": len(glob.glob("/proc/[0-9]*")),
    "sockets": [path for path in sockets if connects(path)],
    "written": [path for path in (*victims, *places) if writes(path)],
}
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for descriptor in range(3):  # whoever waits for the end of its output waits no more
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        os.execvp("sleep", ["sleep", "LASTING"])
    os._exit(0)
sys.exit("FOUND " + json.dumps(found))
"""


@pytest.fixture(scope="module", autouse=True)
def walls() -> None:
    """These walls are bubblewrap's."""
    if not bubblewrap.works():
        pytest.skip("bubblewrap does not work here: apt-get install -y bubblewrap, outside an unprivileged container.")


@pytest.fixture(scope="module")
def victim(attacked: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A tenant with a service, a secret in its sources and one in its variables, and caches of its builds."""
    owner = attacked.user_of("victim", secret="a long secret of the victim's")
    folder = tmp_path_factory.mktemp("victim") / "shop"
    folder.mkdir()
    (folder / "main.py").write_text(SERVING.replace("@@", VICTIMS_SECRET))
    (folder / "requirements.txt").write_text("idna\n")
    owner.micro("run", folder, "--secrets", "TOKEN=" + VICTIMS_SECRET)
    return owner


SERVING = """
import http.server, os
words = "@@"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(words.encode())
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def looking(attacked: Server, lasting: str) -> str:
    """The hostile program for this server."""
    home = attacked.home
    run = Path(next(p.environ()["MICRO_RUN"] for p in attacked.processes() if "MICRO_RUN" in p.environ()))
    victims = [str(path) for path in home.glob("**/victim/**/*") if path.is_file() and "blobs" not in path.parts]
    database = (home / "postgres").resolve()
    asked = (
        str(home),
        str(database.parent if os.geteuid() == 0 else database),
        str(run),
        str(Path.home()),
        sys.prefix,
        victims,
    )
    mine = tuple(f"{home}/{kind}/mallory" for kind in ("builds", "caches", "environments"))
    return LOOKING.replace("ASKED", repr(asked)).replace("MINE", repr(mine)).replace("LASTING", lasting)


def setup_py(attacked: Server, lasting: str) -> dict[str, str]:
    """A Python project whose setup.py is the program."""
    backend = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    project = f'[project]\nname = "x"\nversion = "1"\n{backend}'
    return {"main.py": "", "pyproject.toml": project, "setup.py": looking(attacked, lasting)}


def postinstall(attacked: Server, lasting: str) -> dict[str, str]:
    """A Node project that runs the program once it is installed, and again as its build."""
    scripts = {"postinstall": "python3 look.py", "start": "node x.js"}
    return {
        "package.json": json.dumps({"name": "x", "scripts": scripts}),
        "x.js": "",
        "look.py": looking(attacked, lasting),
    }


def found_by(mallory: Server, folder: Path, files: dict[str, str], *, kind: str = "build") -> dict[str, object]:
    """What a source's build, or the service itself, has found, as its log has it."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    mallory.micro("run", folder, check=False)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        log = mallory.micro("logs", *(["--build"] if kind == "build" else []), folder.name, check=False).stdout
        for line in log.splitlines():
            if "FOUND {" in line:
                return dict(json.loads(line[line.index("{") : line.rindex("}") + 1]))
        time.sleep(0.3)
    raise AssertionError(f"The build has found nothing:\n{log}")


def assert_walled(found: dict[str, object]) -> None:
    """Nothing of the server, of another tenant or of its user's was seen, and nothing of theirs was written."""
    assert found["processes"] < 12
    nothing = {name: said for name, said in found.items() if said and name not in {"user", "capabilities", "processes"}}
    assert nothing == {}
    assert found["user"] != 0
    assert set(str(found["capabilities"])) == {"0"}


def is_left(lasting: str) -> bool:
    """Whether the process that a build left behind runs."""
    return any(process.info["cmdline"] == ["sleep", lasting] for process in psutil.process_iter(["cmdline"]))


def test_a_setup_py_sees_no_state_no_process_no_socket_and_writes_to_its_own_alone(attacked, victim, mallory, tmp_path):
    assert_walled(found_by(mallory, tmp_path / "setup", setup_py(attacked, "611.25")))
    eventually(lambda: not is_left("611.25"), 10, "nothing of the build runs")


def test_neither_does_an_install_script_of_npm(attacked, victim, mallory, tmp_path):
    assert_walled(found_by(mallory, tmp_path / "postinstall", postinstall(attacked, "612.25")))
    eventually(lambda: not is_left("612.25"), 10, "nothing of the build runs")


def test_a_running_service_sees_no_more_than_a_build(attacked, victim, mallory, tmp_path):
    files = {"main.py": looking(attacked, "613.25"), "Procfile": "web: exec python main.py\n"}
    assert_walled(found_by(mallory, tmp_path / "running", files, kind="run"))


def test_a_service_s_variables_reach_no_program_outside_its_walls(attacked, mallory, tmp_path):
    (tmp_path / "preloading").mkdir()
    (tmp_path / "preloading" / "main.py").write_text(SERVING.replace("@@", "x"))
    mallory.micro("run", tmp_path / "preloading", "--env_vars", "LD_LIBRARY_PATH=/a/folder/of/mallory")
    (first,) = attacked.replicas("preloading")
    outside = [process for process in first.parents() if "bwrap" in process.name()]
    assert outside
    assert not [process for process in outside if "LD_LIBRARY_PATH" in process.environ()]
    assert first.environ()["LD_LIBRARY_PATH"] == "/a/folder/of/mallory"


COMPLAINING = "import sys\nraise OSError(sys.path, sys.executable, sys.argv, __file__)\n"
FAILING = {
    "build": {"main.py": "", "requirements.txt": "./nowhere\n"},
    "setup": {"main.py": "", "requirements.txt": "./own\n", "own/setup.py": COMPLAINING},
    "node": {"package.json": '{"scripts": {"postinstall": "pwd; env; false", "start": "node x.js"}}', "x.js": ""},
    "run": {"main.py": COMPLAINING},
}


@pytest.mark.parametrize("name", FAILING)
def test_what_a_tenant_reads_of_a_failure_names_no_folder_of_the_server(name, attacked, mallory, tmp_path):
    folder = tmp_path / f"{name}-failing"
    for file, text in FAILING[name].items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    said = mallory.micro("run", folder, check=False)
    read = [said.stdout, said.stderr, mallory.micro("status", folder.name).stdout]
    for kind in (["--build"], []):
        read.append(mallory.micro("logs", *kind, folder.name, check=False).stdout)
    assert said.returncode
    for place in (attacked.home, ROOT, sys.prefix, sys.base_prefix):
        assert str(place) not in "\n".join(read)
