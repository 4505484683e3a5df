"""What is detected in a folder, and environments that real uv makes of it."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest
from building import write_source

from micro.errors import FailedPrecondition, InvalidArgument
from runtime import builds, folders
from runtime.attempts import Attempt
from runtime.builds import environments, plans

MICRO = "from micro import Service\nService('x').run()\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
PLANS = {
    "micro main": ({"main.py": MICRO}, ("exec python main.py", "grpc", "", "", True)),
    "micro named in requirements": (
        {"main.py": MICRO, "requirements.txt": "micro==1\n"},
        ("exec python main.py", "grpc", "requirements.txt", "", True),
    ),
    "micro named in a pyproject": (
        {"x.py": "", "Procfile": "grpc: ./x", "pyproject.toml": "[project]\nname='x'\ndependencies=['Micro[a]>1']\n"},
        ("./x", "grpc", "pyproject.toml", "", True),
    ),
    "micro beside other requirements": (
        {"main.py": MICRO, "requirements.txt": "micropython-x\nhttpx\n"},
        ("exec python main.py", "grpc", "requirements.txt", "", True),
    ),
    "own module called micro": ({"main.py": MICRO, "micro.py": ""}, ("exec python main.py", "", "", "", False)),
    "plain main": ({"main.py": "print(1)\n"}, ("exec python main.py", "", "", "", False)),
    "main with a syntax error": ({"main.py": "print(\n"}, ("exec python main.py", "", "", "", False)),
    "flask": (
        {"app.py": FLASK, "requirements.txt": "flask\n"},
        ("exec gunicorn --bind 127.0.0.1:$PORT --threads 8 'app:app'", "http", "requirements.txt", "gunicorn", False),
    ),
    "flask factory": (
        {"app.py": "import flask\ndef create_app(x=1):\n  return flask.Flask('x')\n"},
        ("exec gunicorn --bind 127.0.0.1:$PORT --threads 8 'app:create_app()'", "http", "", "gunicorn", False),
    ),
    "fastapi in main": (
        {"main.py": "import fastapi\napp: object = fastapi.FastAPI()\n"},
        ("exec uvicorn --host 127.0.0.1 --port $PORT main:app", "http", "", "uvicorn", False),
    ),
    "fastapi in a package": (
        {"app/main.py": "from fastapi import FastAPI\napp = FastAPI()\n", "app/__init__.py": ""},
        ("exec uvicorn --host 127.0.0.1 --port $PORT app.main:app", "http", "", "uvicorn", False),
    ),
    "bare asgi": (
        {"asgi.py": "async def application(scope, receive, send): ...\n"},
        ("exec uvicorn --host 127.0.0.1 --port $PORT asgi:application", "http", "", "uvicorn", False),
    ),
    "bare wsgi": (
        {"wsgi.py": "def app(environ, start): ...\n"},
        ("exec gunicorn --bind 127.0.0.1:$PORT --threads 8 'wsgi:app'", "http", "", "gunicorn", False),
    ),
    "wsgi by file name": (
        {"wsgi.py": "from thing import application\n"},
        ("exec gunicorn --bind 127.0.0.1:$PORT --threads 8 'wsgi:application'", "http", "", "gunicorn", False),
    ),
    "django": (
        {"manage.py": "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\n", "site1/wsgi.py": ""},
        ("exec gunicorn --bind 127.0.0.1:$PORT --threads 8 'site1.wsgi:application'", "http", "", "gunicorn", False),
    ),
    "procfile before everything": (
        {"Procfile": "# x\nworker: celery\nweb: gunicorn app:app\n", "app.py": FLASK, "main.py": MICRO},
        ("gunicorn app:app", "", "", "", True),
    ),
    "procfile web": ({"Procfile": "web: ./serve $PORT\n"}, ("./serve $PORT", "http", "", "", False)),
    "procfile grpc": ({"Procfile": "grpc: ./serve\nworker: x"}, ("./serve", "grpc", "", "", False)),
    "procfile with one other": ({"Procfile": "bot: ./bot\nrelease: x"}, ("./bot", "", "", "", False)),
    "pyproject list": (
        {"pyproject.toml": "[project]\nname='x'\nversion='1'\ndependencies=['flask']\n", "app.py": FLASK},
        ("exec gunicorn --bind 127.0.0.1:$PORT --threads 8 'app:app'", "http", "pyproject.toml", "gunicorn", False),
    ),
    "pyproject package": (
        {"pyproject.toml": "[project]\nname='x'\n[build-system]\nrequires=[]\n", "Procfile": "web: x"},
        ("x", "http", ".", "", False),
    ),
    "pyproject of a tool only": (
        {"pyproject.toml": "[tool.ruff]\n", "main.py": ""},
        ("exec python main.py", "", "", "", False),
    ),
}
NOTHING = {
    "empty": ({}, "Procfile"),
    "text": ({"notes.txt": "x"}, "main.py"),
    "dockerfile": ({"Dockerfile": "FROM x"}, "Found a Dockerfile, which needs the Docker backend"),
    "dockerfile and a page": ({"Dockerfile": "FROM x", "index.html": ""}, "Found a Dockerfile.*MICRO_BACKEND=docker"),
    "dockerfile and a site below": ({"Dockerfile": "", "public/index.html": ""}, "Found a Dockerfile"),
    "node": ({"package.json": "{}"}, "package.json"),
    "only requirements": ({"requirements.txt": "flask"}, "not what to start; add a Procfile with `web: …`"),
    "only a list of packages": ({"package.json": "{}"}, "not what to start; say it by scripts.start"),
    "ambiguous procfile": ({"Procfile": "a: x\nb: y\n"}, "a, b"),
    "broken procfile": ({"Procfile": "# x\nweb gunicorn\n"}, "Line 2 of the Procfile"),
    "procfile without a command": ({"Procfile": "web:\n"}, "Line 1 of the Procfile"),
    "empty procfile": ({"Procfile": "\n"}, "nothing"),
    "broken pyproject": ({"pyproject.toml": "[", "main.py": ""}, "pyproject.toml"),
}


@pytest.mark.parametrize("case", PLANS)
def test_a_folder_is_detected(case, tmp_path):
    files, expected = PLANS[case]
    plan = builds.plan(write_source(tmp_path, files))
    assert (plan.line, plan.protocol, plan.dependencies, plan.server, plan.wants_micro) == expected
    assert any(plan.line in line for line in plan.shown())


@pytest.mark.parametrize("case", NOTHING)
def test_a_folder_that_cannot_be_run_says_why(case, tmp_path):
    files, words = NOTHING[case]
    with pytest.raises(InvalidArgument, match=words):
        builds.plan(write_source(tmp_path, files))


def test_a_page_beside_a_dockerfile_is_no_site_but_what_a_procfile_starts_is_started(tmp_path):
    plan = builds.plan(write_source(tmp_path, {"Dockerfile": "FROM x", "index.html": "", "Procfile": "web: ./serve\n"}))
    assert (plan.language, plan.line) == ("Python", "./serve")
    assert "The Dockerfile is left out: it needs the Docker backend (MICRO_BACKEND=docker)." in plan.shown()


@pytest.mark.parametrize("page", ["index.html", "public/index.html"])
def test_a_page_beside_a_procfile_is_no_site_but_what_its_command_has_to_show(tmp_path, page):
    plan = builds.plan(write_source(tmp_path, {page: "", "Procfile": "web: python3 -m http.server $PORT\n"}))
    assert (plan.language, plan.line, plan.evidence) == ("Python", "python3 -m http.server $PORT", "Procfile")


def test_a_command_of_the_request_comes_first_and_keeps_its_words_apart(tmp_path):
    plan = builds.plan(write_source(tmp_path, {"Procfile": "web: x"}), command=["python", "a b.py", "$(id)"])
    assert plan.line == "python 'a b.py' '$(id)'"


def test_a_folder_that_a_link_puts_into_the_source_is_no_site(tmp_path):
    write_source(tmp_path / "elsewhere", {"index.html": "not theirs"})
    fetched = write_source(tmp_path / "source", {"notes.txt": ""})
    (tmp_path / "source" / "public").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidArgument, match="nothing to run"):
        builds.plan(fetched)


def test_code_is_read_and_never_run(tmp_path):
    builds.plan(write_source(tmp_path, {"app.py": f"open({str(tmp_path / 'ran')!r}, 'w')\n{FLASK}"}))
    assert not (tmp_path / "ran").exists()


def attempt(tmp_path: Path) -> Attempt:
    return Attempt("micro", uuid4(), tmp_path / "build.log", lambda: True)


def test_an_environment_is_made_once_for_equal_dependencies(tmp_path):
    files = {"main.py": "print(1)\n", "requirements.txt": "blinker==1.9.0\n"}
    artifacts = []
    for name in ("one", "two"):
        fetched = write_source(tmp_path / name, files | {"other.txt": name})
        artifacts.append(builds.build(fetched, builds.plan(fetched), attempt(tmp_path)))
    assert artifacts[0].environment == artifacts[1].environment
    assert (tmp_path / "build.log").read_text().count("blinker") == 1
    python = folders.environments("micro") / artifacts[0].environment / "bin" / "python"
    done = subprocess.run([python, "-c", "import blinker; print('ok')"], capture_output=True, text=True, check=True)
    assert done.stdout == "ok\n"


def test_an_environment_of_another_namespace_is_not_shared(tmp_path):
    fetched = write_source(tmp_path / "x", {"main.py": "print(1)\n"})
    builds.build(fetched, builds.plan(fetched), attempt(tmp_path))
    assert not list(folders.environments("other").iterdir())


def test_dependencies_that_cannot_be_installed_are_named(tmp_path):
    fetched = write_source(tmp_path / "x", {"main.py": "", "requirements.txt": "no-such-package-of-micro==99.99\n"})
    with pytest.raises(FailedPrecondition, match="no-such-package-of-micro"):
        builds.build(fetched, builds.plan(fetched), attempt(tmp_path))
    assert "no-such-package-of-micro" in (tmp_path / "build.log").read_text()


def make_wheel(folder: Path, version: str, whose: str) -> Path:
    """A wheel of a package named micro."""
    path = folder / f"micro-{version}-py3-none-any.whl"
    info = f"micro-{version}.dist-info"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("micro.py", f"WHOSE = {whose!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: micro\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "micro>=1\n"),
        ("requirements.txt", "-r more.txt\n"),
        ("pyproject.toml", "[project]\nname='x'\nversion='1'\ndependencies=['micro==99.0']\n"),
    ],
)
def test_whoever_asks_for_micro_gets_the_platforms_own_and_no_strangers(name, text, tmp_path, settings, monkeypatch):
    settings.MICRO_WHEEL = make_wheel(tmp_path / "our own", "0.5", "ours")
    monkeypatch.setenv("UV_FIND_LINKS", str(make_wheel(tmp_path / "theirs", "99.0", "a stranger's").parent))
    fetched = write_source(tmp_path / "x", {"main.py": "import micro\n", name: text, "more.txt": "micro\n"})
    made = builds.build(fetched, builds.plan(fetched), attempt(tmp_path)).environment
    python = folders.environments("micro") / made / "bin" / "python"
    command = [python, "-c", "import micro; print(micro.WHOSE)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "ours\n"
    assert sorted(path.suffix for path in folders.environments("micro").iterdir()) == ["", ".ready"]


def test_a_half_made_environment_is_not_taken_for_a_whole_one(tmp_path):
    fetched = write_source(tmp_path / "x", {"main.py": ""})
    plan = builds.plan(fetched)
    recipe = environments.Recipe(tmp_path / "x", plan, "", None)

    def killed(argv: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        environments.make(recipe, attempt=attempt(tmp_path), run=killed)
    made = builds.build(fetched, plan, attempt(tmp_path)).environment
    assert (folders.environments("micro") / made / "bin" / "python").exists()


def test_a_recipe_counts_sources_only_where_they_are_installed(tmp_path):
    def key(files: dict[str, str], digest: str, name: str) -> str:
        fetched = write_source(tmp_path / name, files)
        return environments.Recipe(fetched.path, builds.plan(fetched), digest, None).key()

    plain = {"main.py": "", "requirements.txt": "flask\n"}
    local = {"main.py": "", "requirements.txt": "-e .\n"}
    assert key(plain, "a", "1") == key(plain, "b", "2")
    assert key(local, "a", "3") != key(local, "b", "4")
    included = {"main.py": "", "requirements.txt": "-r more/base.txt\n", "more/base.txt": "flask\n"}
    assert key(included, "a", "7") == key(included, "b", "8")
    assert key(included, "a", "9") != key({**included, "more/base.txt": "django\n"}, "a", "10")
    assert key(plain, "a", "5") != key({**plain, "requirements.txt": "django\n"}, "a", "6")


def test_nothing_of_the_servers_environment_but_package_sources_reaches_a_build(monkeypatch):
    monkeypatch.setenv("MICRO_SECRET_KEY", "x")
    monkeypatch.setenv("DATABASE_URL", "x")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    env = environments.build_environment()
    assert env["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    assert not {"MICRO_SECRET_KEY", "DATABASE_URL"} & set(env)
    assert set(env) & set(os.environ) <= {"PATH", "LANG", *environments.PASSED_ON}


def test_an_artifact_is_read_as_it_was_saved(tmp_path):
    artifact = plans.Artifact("git:1", ["/bin/sh", "-c", "x"], "sub", "env", "grpc")
    assert plans.Artifact.load(tmp_path / "a.json") is None
    artifact.save(tmp_path / "a.json")
    assert plans.Artifact.load(tmp_path / "a.json") == artifact
