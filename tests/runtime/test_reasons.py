"""What is quoted of a program's output when it has failed."""

from __future__ import annotations

import pytest
from deploying import hello

from runtime import launching, rollouts
from runtime.builds import complaints
from runtime.models import Release, Replica

NO_VERSION = """Using Python 3.11.7 environment at: e
error: No solution found when resolving dependencies
  cause: Because thing was not found in the package registry and you require thing==9, your requirements are \
unsatisfiable.
"""
# ruff: noqa: RUF001 - uv writes it so
OLDER = """Using Python 3.11.7 environment at: e
  × No solution found when resolving dependencies:
  ╰─▶ Because thing was not found in the package registry and you
      require thing==9, your requirements are unsatisfiable.

      hint: An index was not queried.
"""
UNBUILT = """Resolved 1 package in 1ms
   Building bad @ file:///x
error: Failed to build `bad @ file:///x`
  cause: The build backend returned an error
  cause: Call to `setuptools.build_wheel` failed (exit status: 1)

         [stdout]
         running build_ext

         [stderr]
         Traceback (most recent call last):
           File "<string>", line 8, in <module>

         error: command 'gcc' failed: No such file or directory

hint: This usually indicates a problem with the package or the build environment.

or `uv pip install nope` into the environment.
"""
HASHES = """Resolved 1 package in 66ms
error: Failed to download `blinker==1.9.0`
  cause: Hash mismatch for `blinker==1.9.0`

         Expected:
           sha256:b4ce2265a7abece45e7cc896e98dbebe6cead56bcf805a3d23136d145f5445be
"""
UNSATISFIABLE = (
    "No solution found when resolving dependencies: Because thing was not found in the package registry and you "
    "require thing==9, your requirements are unsatisfiable."
)


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (NO_VERSION, UNSATISFIABLE),
        (OLDER, UNSATISFIABLE),
        (
            UNBUILT,
            "Failed to build `bad @ file:///x`: The build backend returned an error: Call to `setuptools.build_wheel` "
            "failed (exit status: 1): error: command 'gcc' failed: No such file or directory",
        ),
        (HASHES, "Failed to download `blinker==1.9.0`: Hash mismatch for `blinker==1.9.0`"),
        ("Resolved 3 packages\nKilled\n\n", "Killed"),
        ("", ""),
    ],
)
def test_of_uv_its_own_message_is_quoted(output, complaint):
    assert complaints.of_uv(output) == complaint


def test_a_long_message_is_cut_between_two_words():
    complaint = complaints.of_uv("error: " + "sha256:0123456789abcdef " * 100)
    assert len(complaint) <= complaints.LONGEST
    assert complaint.endswith("sha256:0123456789abcdef …")


TRACEBACK = 'Traceback (most recent call last):\n  File "app.py", line 1, in <module>\n    import flask\n'
GUNICORN = "[2026] [7] [INFO] Worker exiting (pid: 7)\n[2026] [1] [ERROR] Reason: Worker failed to boot.\n"
CHAINED = f"{TRACEBACK}KeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\n"


@pytest.fixture
def replica(platform) -> Replica:
    deployment = platform.queue("web", hello("one"))
    release = Release.objects.create(service=deployment.service, deployment=deployment, number=1, command=["x"])
    rollouts.want(deployment, release)
    return Replica.objects.in_namespace("micro").get()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("one\ntwo\n\n", "two"),
        (
            f"{TRACEBACK}ModuleNotFoundError: No module named 'flask'\n{GUNICORN}",
            "ModuleNotFoundError: No module named 'flask' (app.py line 1)",
        ),
        (f"{CHAINED}{TRACEBACK}ValueError: y\n  its second line\n{GUNICORN}", "ValueError: y (app.py line 1)"),
        (f"{TRACEBACK}KeyError: 'handled'\n" + "GET /\n" * 20 + "Killed by a signal\n", "Killed by a signal"),
        (TRACEBACK, "import flask"),
    ],
)
def test_of_a_replica_the_exception_it_ended_with_is_quoted_else_its_last_line(replica, output, words):
    launching.log_path(replica).write_text(output)
    assert launching.last_line(replica) == f" Its last words: {words}"


@pytest.mark.django_db(transaction=True)
def test_nothing_of_another_release_is_quoted(platform, replica):
    launching.log_path(replica).write_text(f"{TRACEBACK}KeyError: 'of the first'\n")
    second = platform.queue("web", hello("two"))
    release = Release.objects.create(service=second.service, deployment=second, number=2, command=["x"])
    rollouts.want(second, release)
    later = Replica.objects.in_namespace("micro").get(release=release)
    assert launching.last_line(later) == ""
    launching.log_path(later).write_text(GUNICORN)
    assert launching.last_line(later).endswith("Reason: Worker failed to boot.")
