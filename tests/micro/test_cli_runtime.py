"""run, update, kill, status and logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from micro import errors
from tests.micro.conftest import MICRO, eventually

FORWARD = [
    ("pending", {"step": "queued"}),
    ("building", {"step": "fetching"}),
    *[("building", {"step": "building"})] * 10,
    ("starting", {"step": "starting"}),
    ("running", {"address": "http://greeter--micro.localhost:8080"}),
]
BUILT = "Release 1 is built; starting it."
FAILING = [("building", {"step": "building"}), ("error", {"error": "Nothing listens on its port.", "serving": "3"})]


def test_run_is_silent_on_stdout_and_shows_each_longer_step_once_on_stderr(user, sidecar, folder):
    sidecar.steps, sidecar.build_log = FORWARD, ["Detected Python", "\x1b[31mred\x1b[0m", BUILT]
    done = user.micro("run", folder)
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert lines[0] == "Sending greeter: 1 file, 15 bytes ..."
    assert lines.count("Building ...") == 1
    assert "Starting ..." not in lines  # it was over at once
    assert "  Detected Python" in lines
    assert "  red" in lines
    assert lines[-1].startswith("greeter is running at http://greeter--micro.localhost:8080 (")
    assert "\x1b" not in done.stderr


def test_a_build_log_that_lags_is_shown_before_the_end_is_told(user, sidecar, folder):
    sidecar.build_log, sidecar.log_lag_s = ["Detected Python", BUILT], 0.8
    lines = user.micro("run", folder).stderr.splitlines()
    assert lines[1:3] == ["  Detected Python", f"  {BUILT}"]
    assert lines[3].startswith("greeter is running (")


def test_a_build_log_that_never_comes_keeps_nobody_waiting_for_long(user, sidecar, folder):
    sidecar.build_log = []
    begun = time.monotonic()
    assert user.micro("run", folder).returncode == 0
    assert 1.5 < time.monotonic() - begun < 10


def test_what_a_service_prints_comes_after_the_whole_log_of_its_build_however_long_that_takes(user, sidecar, folder):
    sidecar.steps = [("starting", {"step": "starting"})] * 80 + [("running", {})]
    sidecar.build_log, sidecar.run_log = ["Collecting 0"], ["hello"]
    process = user.start("run", folder, bufsize=1)
    while process.stderr.readline() != "  Collecting 0\n":
        assert process.poll() is None
    collecting = [f"Collecting {number}" for number in range(1, 6)]
    for line in (*collecting, BUILT):
        time.sleep(0.5)  # all in all longer than a build's last line is waited for
        sidecar.build_log.append(line)
    _, err = process.communicate(timeout=60)
    told = [line.strip() for line in err.splitlines()]
    assert [line for line in told if line in {*collecting, BUILT, "hello"}] == [*collecting, BUILT, "hello"]


@pytest.mark.parametrize(("release", "is_shown"), [("1", True), ("0", False)])
def test_of_what_a_service_prints_only_the_lines_of_the_new_release_are_shown(user, sidecar, folder, release, is_shown):
    sidecar.steps = [("starting", {"step": "starting"})] * 20 + [("running", {})]
    sidecar.run_log, sidecar.log_metadata = ["hello"], {"release": release}
    told = user.micro("run", folder).stderr.splitlines()
    assert f"  {BUILT}" in told
    assert ("  hello" in told) is is_shown


def test_run_sends_the_folder_and_what_was_asked_for(user, sidecar, folder):
    done = user.micro(
        "run",
        "--name=other",
        "--env_vars=A=1,B=x=y",
        "--env_vars",
        "C=a,b",
        "--instances",
        "2",
        "--command",
        "python 'main.py'",
        "greeter",
    )
    assert done.returncode == 0, done.stderr
    [request] = sidecar.created
    service, options = request.resource.service, request.options
    assert (service.name, service.version, service.source) == ("other", "latest", "source://other:latest")
    assert service.metadata["source"] == "greeter"
    assert sidecar.uploaded("source://other:latest") == {"main.py": b"print('hello')\n"}
    assert list(options.env) == ["A=1", "B=x=y", "C=a,b"]
    assert list(options.command) == ["python", "main.py"]
    assert (options.namespace, options.instances) == ("micro", 2)


def test_run_of_a_repository_sends_its_place(user, sidecar):
    assert user.micro("run", "github.com/micro/services/helloworld@v1.2").returncode == 0
    service = sidecar.created[0].resource.service
    assert (service.name, service.version) == ("helloworld", "v1.2")
    assert service.source == "github.com/micro/services/helloworld@v1.2"
    assert service.metadata["source"] == "github.com/micro/services/helloworld"


def test_run_in_a_folder_named_by_a_dot_is_named_like_the_folder(user, sidecar, folder):
    assert user.micro("run", ".", cwd=folder).returncode == 0
    assert sidecar.created[0].resource.service.name == "greeter"


def test_a_deployment_that_fails_says_why_and_what_goes_on(user, sidecar, folder):
    sidecar.steps, sidecar.run_log = FAILING, ["Traceback", "KeyError: 'PORT'"]
    done = user.micro("run", folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-4:] == [
        "  Traceback",
        "  KeyError: 'PORT'",
        "greeter failed: Nothing listens on its port.",
        "Release 3 goes on serving.",
    ]


def test_what_goes_on_serving_has_no_part_in_why_a_deployment_failed(user, sidecar, folder):
    sidecar.steps, sidecar.run_log, sidecar.log_metadata = FAILING, ["GET / 200"], {"release": "3"}
    told = user.micro("run", folder).stderr.splitlines()
    assert told[-2:] == ["greeter failed: Nothing listens on its port.", "Release 3 goes on serving."]
    assert "  GET / 200" not in told


def test_updated_counts_from_the_last_change_of_the_status(user, sidecar, folder):
    sidecar.steps = [("running", {"since": "2020-01-01T00:00:00Z"})]
    assert user.micro("run", "--detach", folder).returncode == 0
    assert int(user.micro("status").stdout.splitlines()[1].split("\t")[5].partition("d")[0]) > 2000


def test_a_failure_that_leaves_nothing_serving_says_so(user, sidecar, folder):
    sidecar.steps = [("error", {"error": "It ended."})]
    assert user.micro("run", folder).stderr.splitlines()[-2:] == ["greeter failed: It ended.", "No greeter serves."]
    assert user.micro("status").stdout.rstrip().endswith("error=It ended., serving=nothing")


def test_a_deployment_that_somebody_cancels_ends_the_wait_and_says_who(user, sidecar, folder):
    said = {"step": "cancelled", "warning": "Cancelled by ada.", "serving": "3"}
    sidecar.steps = [("building", {"step": "building"}), ("running", said)]
    done = user.micro("run", folder)
    assert (done.returncode, done.stdout) == (1, "")
    lines = ["greeter was not deployed: Cancelled by ada.", "Release 3 goes on serving."]
    assert done.stderr.splitlines()[-2:] == lines


def test_cancel_names_what_it_cancelled_or_why_it_did_not(user, sidecar, folder):
    assert user.micro("run", "--detach", folder).returncode == 0
    done = user.micro("cancel", "greeter")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "The deployment of greeter is cancelled.\n")
    assert sidecar.cancelled == [("micro", "greeter", "latest")]
    again = user.micro("cancel", "greeter")
    assert (again.returncode, again.stderr) == (1, "Nothing is under way.\n")
    missing = user.micro("cancel", "other@v2")
    assert (missing.returncode, missing.stderr) == (127, "There is no service other@v2.\n")


def test_a_source_that_the_platform_refuses_is_a_failed_run(user, sidecar, folder):
    sidecar.refuse = lambda _service: errors.InvalidArgument("the host '10.0.0.1' has a private address.")
    done = user.micro("run", "https://10.0.0.1/a/b.git")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("The host '10.0.0.1' has a private address.\n")


@pytest.mark.parametrize(
    "source", ["/no/such/folder", "./nosuch", "file:///etc", "ext::sh -c id", "ssh://git@host/a/b", "a/b@", "https://"]
)
def test_what_is_no_source_is_named(user, sidecar, source):
    done = user.micro("run", source)
    assert done.returncode == 1
    assert source in done.stderr
    assert not sidecar.created


def test_a_mistyped_folder_is_refused_before_anything_is_sent(user, sidecar):
    sidecar.calls.clear()
    for command in ("run", "update"):
        done = user.micro(command, "examples/web")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "There is no folder examples/web here; a git source looks like github.com/org/repo.\n"
    assert sidecar.calls == []


def test_a_folder_whose_name_no_service_can_have_gives_a_similar_one(user, sidecar):
    folder = user.home / "myproj_api"
    folder.mkdir()
    (folder / "main.py").write_text("")
    done = user.micro("run", "myproj_api")
    assert done.stderr.splitlines()[0] == "Named myproj-api after myproj_api; choose another with --name."
    assert sidecar.created[0].resource.service.name == "myproj-api"
    assert "Named" not in user.micro("run", "--name=shop", "myproj_api").stderr
    assert user.micro("kill", "./myproj_api").returncode == 0


def test_an_impossible_name_is_refused_before_anything_is_sent(user, sidecar, folder):
    (user.home / "größe").mkdir()
    sidecar.calls.clear()
    for args, name in ((["größe"], "größe"), (["--name=A_B", "greeter"], "A_B"), (["github.com/a/runtime"], "runtime")):
        done = user.micro("run", *args)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"'{name}' ")
        assert done.stderr.endswith("with --name.\n")
    assert sidecar.calls == []


def test_run_leaves_the_number_of_instances_to_the_platform_unless_it_is_told(user, sidecar, folder):
    assert user.micro("run", "--detach", folder).returncode == 0
    assert sidecar.created[0].options.instances == 0


def test_run_sends_what_is_said_of_a_service(user, sidecar, folder):
    assert user.micro("run", folder, "--metadata=team=shop", "--metadata", "note=a=b").returncode == 0
    known = dict(sidecar.created[0].resource.service.metadata)
    assert (known["team"], known["note"]) == ("shop", "a=b")
    done = user.micro("run", folder, "--metadata=team")
    assert (done.returncode, done.stderr) == (1, "Invalid metadata: team. Expected format: key=value\n")


def test_kill_goes_on_after_a_name_that_is_not_there(user, sidecar, folder):
    user.micro("run", folder)
    done = user.micro("kill", "nosuch", "greeter")
    assert (done.returncode, done.stdout, done.stderr) == (127, "", "nosuch@latest: not found\n")
    assert not sidecar.deployments


def test_with_json_a_run_prints_the_service_and_nothing_else(user, sidecar, folder):
    sidecar.steps = FORWARD
    done = user.micro("run", folder, "-o", "json")
    shown = json.loads(done.stdout)
    assert (shown["name"], shown["status"]) == ("greeter", "running")
    assert "is running at" in done.stderr


def test_what_a_service_prints_while_it_starts_is_shown_once(user, sidecar, folder):
    sidecar.run_log = ["warming up", "it broke"]
    sidecar.steps = [("building", {}), *[("starting", {"step": "starting"})] * 8, ("error", {"error": "It ended."})]
    done = user.micro("run", folder)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "it broke" in line] == ["  it broke"]
    assert done.stderr.endswith("greeter failed: It ended.\nNo greeter serves.\n")


def test_a_source_is_named_once(user, folder):
    assert user.micro("run").stdout == user.micro("run", "--help").stdout
    assert user.micro("run", "--source", folder).returncode == 0
    assert user.micro("run", "--source", folder, folder).stderr.startswith("Say the SOURCE once")
    assert user.micro("run", "--watch", "--detach", folder).stderr.startswith("--watch is for a folder")


def test_update_of_a_name_leaves_its_source_as_it_is(user, sidecar, folder):
    user.micro("run", folder)
    uploads = dict(sidecar.uploads)
    done = user.micro("update", "greeter@latest")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert sidecar.updated[-1].resource.service.source == ""
    assert sidecar.uploads == uploads


def test_detach_returns_at_once(user, sidecar, folder):
    sidecar.steps = [("building", {})]
    done = user.micro("run", "--detach", folder)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("source", "name"), [("greeter", "greeter"), ("github.com/a/b@v1", "b@v1")])
def test_what_nobody_waits_for_ends_with_how_to_follow_it(user, sidecar, folder, source, name):
    sidecar.steps = [("building", {})]
    for args in (["run", "-d", source], ["update", "-detach=true", source], ["run", "-d", "-o", "json", source]):
        done = user.micro(*args)
        assert done.returncode == 0
        assert done.stderr.splitlines()[-1] == (
            f"{name} is being deployed: "
            f"`micro status {name}` shows how far it is, `micro logs --build -f {name}` its build."
        )


def test_ctrl_c_leaves_the_deployment_running_and_says_so(user, sidecar, folder):
    sidecar.steps = [("building", {"step": "building"})]
    process = user.start("run", "greeter")
    eventually(lambda: sidecar.created)
    eventually(lambda: sum(path == "/runtime.Runtime/Read" for path, _ in sidecar.calls) > 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("greeter goes on deploying without you: see `micro status greeter`.\n")
    assert sidecar.deployments


def test_update_is_like_run_for_what_exists(user, sidecar, folder):
    done = user.micro("update", folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "There is no service greeter to update: `micro run` starts a new one.\n"
    assert not sidecar.uploads
    user.micro("run", folder)
    (folder / "main.py").write_text("print('hello again')\n")
    done = user.micro("update", "-i=3", folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert sidecar.updated[0].options.instances == 3
    assert sidecar.uploaded("source://greeter:latest") == {"main.py": b"print('hello again')\n"}


def test_kill_is_silent_and_an_unknown_service_is_127(user, sidecar, folder):
    user.micro("run", folder)
    done = user.micro("kill", "greeter")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not sidecar.deployments
    done = user.micro("kill", "greeter@latest")
    assert (done.returncode, done.stderr) == (127, "not found\n")


def test_kill_takes_several_names_with_versions(user, sidecar):
    for version in ("v1", "v2"):
        user.micro("run", f"github.com/a/b@{version}")
    assert user.micro("kill", "b@v1", "b@v2").returncode == 0
    assert not sidecar.deployments


def test_an_update_of_a_service_under_another_name_is_refused(user, sidecar, folder):
    user.micro("run", "--detach", folder)
    done = user.micro("update", "greeter@latest", "--name", "another")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "greeter@latest is a service here, and --name says another: say which one is updated.\n"


@pytest.mark.parametrize(("env", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals_that_want_it(user, sidecar, folder, env, is_coloured):
    import pty

    sidecar.steps = FORWARD
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*MICRO, "run", "greeter"],
        env=user.env | {"TERM": "xterm-256color"} | env,
        cwd=user.home,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen, deadline = b"", time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            seen += os.read(ours, 4096)
        except OSError:
            break
    assert process.wait(10) == 0
    assert b"greeter is running" in seen
    assert (b"\x1b[32m" in seen) is is_coloured


def test_run_says_how_a_grpc_service_is_called(user, sidecar, folder, helloworld):
    done = user.micro("run", "--name=helloworld", folder)
    assert done.stderr.splitlines()[-1] == "Call it: micro helloworld --help"


def test_flags_of_micro_3_without_effect_are_said_to_have_none(user, sidecar, folder):
    sidecar.steps = [("running", {})]
    done = user.micro("run", "--force", "-type=service", "--image", "micro/cells:v3", folder)
    assert (done.returncode, done.stdout) == (0, "")
    told = [line for line in done.stderr.splitlines() if "has no effect here" in line]
    assert sorted(told) == [
        "--force has no effect here: what runs already is replaced without it.",
        "--image has no effect here: images are built from the source.",
        "--type has no effect here: all that runs is of the type service.",
    ]
    told = user.micro("store", "tables", "--store=redis").stderr.splitlines()
    assert told[0] == "--store has no effect here: there is one store."
    assert "has no effect" not in user.micro("run", "--detach", folder).stderr
    for args in (["update", "greeter"], ["status", "greeter"], ["kill", "greeter"]):
        done = user.micro(*args, "--env_vars", "A=b", "--env_vars=C=d", "-command=x")
        assert done.returncode == 0
        assert "--env_vars has no effect here: " in done.stderr
        assert "--command has no effect here: " in done.stderr


def test_a_state_that_no_deployment_has_is_refused_with_those_that_there_are(user):
    done = user.micro("deployments", "--state=nosuch")
    assert (done.returncode, done.stdout) == (1, "")
    assert "'live', 'replaced', 'failed'" in done.stderr


def test_go_booleans_are_values_of_flags(user, sidecar, folder):
    user.micro("run", folder)
    sidecar.run_log = ["one"]
    for flag in ("--follow=false", "-f=false", "-follow=F"):
        assert user.micro("logs", flag, "greeter").stdout == "one\n"
    assert "-" in user.micro("logs", "--timestamps=true", "-n=1", "greeter").stdout.partition(" ")[0]
    assert "COMMANDS:" in user.micro("--help=true").stdout
    assert user.micro("logs", "--follow=perhaps", "greeter").returncode == 1
