"""`micro status`: as a table, on a terminal of any width, as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from micro.cli import status_table
from micro.cli.status_table import age
from micro.proto.runtime_pb2 import Service

RUNNING = [("running", {"address": "http://greeter--micro.localhost:8080"})]
FAILED = [("error", {"error": "Nothing listens on its port.", "serving": "3"})]


def test_status_prints_nothing_when_there_is_nothing(user):
    done = user.micro("status")
    assert (done.returncode, done.stdout) == (0, "")


def test_status_of_a_service_that_is_not_there_is_no_failure_and_says_so_on_stderr(user, sidecar, folder):
    user.micro("run", folder)
    for args, name in ((["nosuch"], "nosuch"), (["greeter", "v2"], "greeter@v2"), (["greeter@v2"], "greeter@v2")):
        done = user.micro("status", *args)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"No {name} is deployed in the namespace micro.\n"
    done = user.micro("status", "nosuch", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_status_is_a_table_of_tabs(user, sidecar, folder):
    user.micro("run", folder)
    sidecar.steps = FAILED
    user.micro("run", "--detach", "github.com/a/another")
    header, *rows = [line.split("\t") for line in user.micro("status").stdout.splitlines()]
    assert header == ["NAME", "VERSION", "SOURCE", "STATUS", "BUILD", "UPDATED", "METADATA"]
    another, greeter = rows
    assert another[:4] == ["another", "latest", "github.com/a/another", "error"]
    assert another[6] == "owner=admin, group=micro, error=Nothing listens on its port., serving=3"
    assert greeter[:4] == ["greeter", "latest", str(folder), "running"]
    assert len(greeter[4]) == 7
    assert greeter[5].endswith("s ago")
    assert greeter[6] == "owner=admin, group=micro"
    assert user.micro("status", "greeter").stdout.splitlines()[1:] == ["\t".join(greeter)] or "s ago" in greeter[5]
    assert user.micro("status", "greet").stdout == ""
    assert user.micro("status", "greeter", "v9").stdout == ""


def test_status_on_a_terminal_is_as_wide_as_the_terminal_and_json_has_the_whole_error(user, sidecar, folder):
    reason = "It printed far too much: " + "x" * 600
    sidecar.steps = RUNNING
    user.micro("run", "greeter")
    sidecar.steps = [("error", {"error": reason, "serving": "3"})]
    user.micro("run", "--detach", "github.com/a/another")
    header, another, greeter = user.on_a_terminal("status", columns=900)
    assert header.split() == ["NAME", "VERSION", "SOURCE", "STATUS", "BUILD", "UPDATED", "ADDRESS", "METADATA"]
    assert "error=It printed far" in another
    assert another.endswith("x, serving=3")
    assert greeter.endswith("http://greeter--micro.localhost:8080  owner=admin, group=micro")
    assert len({line.index(word) for line, word in ((header, "META"), (another, "owner"), (greeter, "owner"))}) == 1
    assert reason in user.micro("status", "-o", "json").stdout
    assert reason in user.micro("status").stdout


@pytest.mark.parametrize("columns", [80, 100, 120, 140])
def test_status_fits_a_terminal_that_is_too_narrow_for_one_line_each(user, sidecar, folder, columns):
    sidecar.steps = RUNNING
    user.micro("run", folder)
    sidecar.steps = [("error", {"error": "It printed far too much: " + "x" * 600, "serving": "3"})]
    user.micro("run", "--detach", "github.com/a/another")
    seen = user.on_a_terminal("status", columns=columns)
    assert max(map(len, seen)) <= columns
    header, its_metadata, another, *whose, greeter, owner = seen
    assert header.split()[:2] == ["NAME", "VERSION"]
    assert its_metadata == "  ADDRESS  METADATA"
    assert owner == "  http://greeter--micro.localhost:8080  owner=admin, group=micro"
    assert another.startswith("another")
    assert " ".join(line.strip() for line in whose).startswith(
        "owner=admin, group=micro, error=It printed far too much: x"
    )
    assert "".join(whose).replace(" ", "").endswith("x" * 600 + ",serving=3")
    assert greeter.startswith("greeter")
    assert "greeter  running" in greeter


def test_status_wraps_and_cuts_what_no_terminal_has_room_for():
    name, address = "shop-" * 20, f"http://{'shop-' * 20}.localhost:8080"
    shop = Service(
        name=name, version="latest", metadata={"status": "running", "address": address, "warning": "no " * 90}
    )
    seen = status_table.for_eyes([shop], columns=80)
    assert max(map(len, seen)) == 80
    assert seen[2].startswith("shop-shop-")
    assert seen[2].endswith("…")
    rest = "".join(seen[3:]).replace(" ", "")
    assert rest == f"{address}owner=n/a,group=n/a,warning={'no' * 90}"


def test_status_as_json_has_all_that_is_known(user, sidecar, folder):
    sidecar.steps = RUNNING
    user.micro("run", folder)
    [service] = json.loads(user.micro("status", "--output", "json").stdout)
    assert (service["name"], service["status"]) == ("greeter", "running")
    assert service["metadata"]["address"] == "http://greeter--micro.localhost:8080"


@pytest.mark.parametrize(
    ("started", "words"),
    [
        ("2026-01-02T03:04:05Z", "0s ago"),
        ("2026-01-02T03:03:00Z", "1m5s ago"),
        ("2026-01-02T02:04:05Z", "1h0m0s ago"),
        ("2026-01-01T01:01:01+00:00", "1d2h3m4s ago"),
        ("", "unknown"),
        ("yesterday", "unknown"),
    ],
)
def test_an_age_begins_with_its_first_part_that_is_not_zero(started, words):
    assert age(started, at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == words
