"""`micro logs`: the last lines, and those that follow."""

from __future__ import annotations

import json
import signal

from tests.micro.conftest import eventually


def test_logs_are_the_last_lines_as_they_are(user, sidecar, folder):
    sidecar.run_log, sidecar.build_log = [f"line {n}" for n in range(20)], ["Detected Python"]
    user.micro("run", folder)
    assert user.micro("logs", "greeter").stdout.splitlines() == [f"line {n}" for n in range(5, 20)]
    assert user.micro("logs", "-n=2", "greeter@latest").stdout == "line 18\nline 19\n"
    assert user.micro("logs", "--build", "greeter").stdout == "Detected Python\n"
    assert user.micro("logs", "-n", "1", "-t", "greeter").stdout == "2023-11-14T22:13:20.020Z line 19\n"


def test_logs_name_the_release_and_the_replica_of_each_line_where_that_is_asked_for(user, sidecar, folder):
    replica = "greeter-1a2b3c4d-0000-4000-8000-000000000000"
    sidecar.run_log, sidecar.log_metadata = ["hello", ""], {"release": "3", "replica": replica}
    user.micro("run", folder)
    assert user.micro("logs", "greeter").stdout == "hello\n\n"
    stamp = "2023-11-14T22:13:20.020Z r3.1a2b3c4d"
    assert user.micro("logs", "-t", "greeter").stdout == f"{stamp} hello\n{stamp} \n"
    records = user.micro("logs", "-o", "json", "greeter").stdout.splitlines()
    assert json.loads(records[0]) == {
        "Message": "hello",
        "Metadata": {"release": "3", "replica": replica},
        "Timestamp": "2023-11-14T22:13:20.020Z",
    }
    sidecar.log_metadata = {"replica": replica}
    assert user.micro("logs", "-t", "-n", "2", "greeter").stdout.startswith("2023-11-14T22:13:20.020Z 1a2b3c4d hello\n")


def test_logs_of_an_unknown_service(user):
    done = user.micro("logs", "nosuch")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Service not found\n")


def test_a_while_that_is_none_is_refused_by_its_flags_name(user):
    done = user.micro("logs", "--since", "x", "greeter")
    assert (done.returncode, done.stderr) == (2, "Invalid format for since duration. Try 30s or 10m\n")


def test_logs_follow_until_ctrl_c(user, sidecar, folder):
    sidecar.run_log = ["first"]
    user.micro("run", folder)
    process = user.start("logs", "-f", "greeter", bufsize=1)
    assert process.stdout.readline() == "first\n"
    sidecar.run_log.append("second")
    assert process.stdout.readline() == "second\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "\nInterrupted.\n")


def test_logs_follow_until_the_service_is_killed(user, sidecar, folder):
    sidecar.run_log = ["first"]
    user.micro("run", folder)
    process = user.start("logs", "-f", "greeter", bufsize=1)
    assert process.stdout.readline() == "first\n"
    reads = len(sidecar.calls)
    eventually(lambda: any(path == "/runtime.Runtime/Read" for path, _ in sidecar.calls[reads:]))
    assert process.poll() is None
    assert user.micro("kill", "greeter").returncode == 0
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "greeter was removed.\n")
