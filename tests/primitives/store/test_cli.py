"""`micro store` and `micro config` as a user types them."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from micro import config, identity
from micro.cli.main import run
from tests.primitives.store.test_sdk import Known, server  # noqa: F401 - a fixture


@pytest.fixture
def micro(server, tmp_path, monkeypatch, capfdbinary):  # noqa: F811
    """Runs a command line; its exit code, stdout and stderr."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MICRO_PROXY", server.address)
    monkeypatch.setenv("MICRO_NAMESPACE", "shop")
    monkeypatch.setattr(identity, "of_this_process", lambda _target: Known("shop"))

    def micro(*args: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        code = run(list(args))
        out, err = capfdbinary.readouterr()
        return code, out.decode(errors="surrogateescape"), err.decode()

    return micro


def test_records_are_written_read_listed_and_deleted(micro):
    assert micro("store", "write", "a/1", "hello", "world") == (0, "", "")
    assert micro("store", "write", "-e", "90m", "a/2", "two")[0] == 0
    assert micro("store", "read", "a/1") == (0, "hello world\n", "")
    assert micro("store", "read", "-p", "a/")[1] == "hello world\ntwo\n"
    assert micro("store", "read", "-prefix", "-l=1", "-o", "1", "a/")[1] == "two\n"
    assert micro("store", "list")[1] == "a/1\na/2\n"
    assert micro("store", "list", "-p", "a/2")[1] == "a/2\n"
    assert json.loads(micro("store", "list", "--output", "json")[1]) == ["a/1", "a/2"]
    table = micro("store", "read", "-v", "--prefix", "a/")[1].splitlines()
    assert table == ["KEY   VALUE         EXPIRY", "a/1   hello world   None", "a/2   two           1 hour from now"]
    micro("store", "write", "-e", "1081h", "a/3", "three")
    assert micro("store", "read", "-v", "a/3")[1].splitlines()[1].endswith("1 month from now")
    micro("store", "delete", "a/3")
    (document,) = json.loads(micro("store", "read", "--output", "json", "a/2")[1])
    assert document | {"expiry": 0} == {"key": "a/2", "value": "dHdv", "metadata": {}, "expiry": 0}
    assert 5390 <= document["expiry"] <= 5400
    assert micro("store", "delete", "a/1") == (0, "", "")
    assert micro("store", "read", "a/1")[::2] == (1, "Not found\n")


def test_tables_and_databases(micro):
    micro("store", "write", "-t", "other", "k", "v")
    assert micro("store", "read", "--table=other", "k")[1] == "v\n"
    assert micro("store", "tables")[1] == "other\n"
    assert micro("store", "databases")[::2] == (127, "Only admins of the namespace micro may do this.\n")
    assert micro("store", "read", "-d", "rival", "k")[::2] == (127, "access denied to namespace\n")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("read",), "Key arg is required"),
        (("delete",), "Key is required"),
        (("write", "k"), "Key and Value args are required"),
        (("write", "-e", "soon", "k", "v"), "Expiry flag is invalid: soon"),
        (("write", "-e", "1500ms", "k", "v"), "Expiry flag is invalid: 1500ms"),
        (("write", "-e", f"{'9' * 400}h", "k", "v"), "Expiry flag is invalid: 999"),
        (("write", "k", "v", "--expriy", "10s"), "No such option '--expriy'."),
        (("nonsense",), "Unrecognized subcommand for micro store: nonsense"),
    ],
)
def test_mistakes_end_with_one_sentence_and_exit_code_1(micro, args, text):
    code, out, err = micro("store", *args)
    assert (code, out) == (1, "")
    assert err.startswith(text)


def test_a_snapshot_is_restored_with_its_tables_values_and_expiries(micro, tmp_path):
    kept = tmp_path / "kept"
    micro("store", "write", "a", "größe")
    micro("store", "write", "-t", "other", "-e", "10m", "b", "leased")
    micro("store", "write", "-e", "1s", "c", "brief")
    code, out, err = micro("store", "snapshot", "-destination", f"file://{kept}")
    assert (code, out, err) == (0, "", f"Records in {kept}: 3\n")
    assert kept.stat().st_mode & 0o777 == 0o600
    for args in (("a",), ("-t", "other", "b"), ("c",)):
        micro("store", "delete", *args)
    micro("store", "write", "newer", "stays")
    time.sleep(1.1)
    assert micro("store", "restore", "--source", str(kept)) == (0, "", "Records restored: 2\n")
    assert micro("store", "read", "a")[1] == "größe\n"
    assert "leased   9 minutes from now" in micro("store", "read", "-v", "-t", "other", "b")[1]
    assert micro("store", "list")[1] == "a\nnewer\n", "what has expired since is left out"


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "{}",
        '{"table": "t", "key": "k", "value": "?", "metadata": {}, "expires_at": 0}',
        "[" * 100_000,
    ],
)
def test_of_a_file_that_is_no_snapshot_nothing_is_restored(micro, tmp_path, line):
    micro("store", "write", "a", "one")
    micro("store", "snapshot", "--destination", str(tmp_path / "kept"))
    micro("store", "delete", "a")
    with (tmp_path / "kept").open("a") as file:
        file.write(f"{line}\n")
    code, out, err = micro("store", "restore", "--source", str(tmp_path / "kept"))
    assert (code, out) == (1, "")
    assert err == f"{tmp_path}/kept is no snapshot of a store: line 2 is not one of its lines.\n"
    assert micro("store", "read", "a")[0] == 1


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            ("snapshot", "--destination", "s3://bucket/x"),
            "Invalid place: s3://bucket/x. Expected a path, or file:///PATH",
        ),
        (("snapshot", "--destination", "/nosuch/x"), "/nosuch/x"),
        (("restore", "--source", "/nosuch"), "/nosuch: No such file or directory"),
        (("snapshot",), "Missing option '--destination'."),
        (("sync", "--from-backend", "file", "--to-backend=redis"), "There is one store, so nothing to sync:"),
    ],
)
def test_what_cannot_be_saved_or_restored_is_said_in_one_sentence(micro, args, text):
    code, out, err = micro("store", *args)
    assert (code, out) == (1, "")
    assert err.startswith(text)


def test_blobs_go_from_file_to_file(micro, tmp_path):
    data = os.urandom(1_000_000)
    (tmp_path / "in").write_bytes(data)
    assert micro("store", "blob", "write", "--content-type", "image/png", "pic", str(tmp_path / "in")) == (0, "", "")
    assert micro("store", "blob", "read", "pic", str(tmp_path / "out")) == (0, "", "")
    assert (tmp_path / "out").read_bytes() == data
    assert micro("store", "blob", "read", "pic")[1].encode(errors="surrogateescape") == data
    assert micro("store", "blob", "list")[1] == "pic\n"
    assert micro("store", "blob", "list", "-v")[1].split("\t")[::3] == ["pic", "image/png\n"]
    assert micro("store", "blob", "delete", "pic") == (0, "", "")
    assert micro("store", "blob", "read", "pic", str(tmp_path / "none"))[::2] == (127, "Blob not found\n")
    assert not (tmp_path / "none").exists()


def test_configuration_is_set_read_and_deleted(micro):
    assert micro("config", "get", "a")[::2] == (127, "Not found\n")
    assert micro("config", "set", "db.host", "localhost") == (0, "", "")
    assert micro("config", "set", "db.port", "1.50")[0] == 0
    assert micro("config", "get", "db.host")[1] == "localhost\n"
    assert micro("config", "get", "db.port")[1] == "1.50\n"
    assert micro("config", "get", "db")[1] == '{"host":"localhost","port":1.50}\n'
    assert micro("config", "get", "--all")[1] == micro("config", "get")[1]
    assert micro("config", "get", "absent")[::2] == (1, "Not found\n")
    assert micro("config", "set", "blank", "") == (0, "", "")
    assert micro("config", "get", "blank") == (0, "\n", "")
    for args in ((), ("blank",)):
        assert micro("config", "set", *args) == (1, "", "Missing path or value\n")
    assert micro("config", "del", "") == (1, "", "Key cannot be blank: that would be everything\n")
    assert micro("config", "set", "--secret", "db.password", '"hunter2"')[0] == 0
    assert micro("config", "get", "db.password")[1] == "[secret]\n"
    assert micro("config", "get", "-s", "db.password")[1] == "hunter2\n"
    assert micro("config", "del", "db") == (0, "", "")
    assert micro("config", "get", "db")[0] == 1


PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"


@pytest.mark.parametrize("value", ["-1", "-1.5e3", "- item", "-----", PEM, "--", "-"])
def test_a_value_may_begin_with_a_dash(micro, value):
    typed = ("--", value) if value == "--" else (value,)
    assert micro("config", "set", "a", *typed) == (0, "", "")
    assert micro("config", "get", "a")[1] == f"{value}\n"
    assert micro("store", "write", "-table=odd", "k", *typed) == (0, "", "")
    assert micro("store", "read", "-t", "odd", "k")[1] == f"{value}\n"
    micro("store", "delete", "-t", "odd", "k")


def test_options_may_come_after_a_value_that_begins_with_a_dash(micro):
    assert micro("config", "set", "a", "-5", "-secret") == (0, "", "")
    assert micro("config", "get", "a")[1] == "[secret]\n"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "[" * 100_000, "nul", "'a'", "1 2"])
def test_what_is_no_json_is_text(micro, value):
    assert micro("config", "set", "a", "--", value) == (0, "", "")
    assert json.loads(micro("config", "get", "a", "-o", "json")[1]) == value


def test_the_past_of_the_configuration(micro):
    micro("config", "set", "a", "1")
    time.sleep(1.1)
    micro("config", "set", "", '{"a": 2, "b": true}')
    header, *rows = micro("config", "history")[1].splitlines()
    assert header.split("\t") == ["REVISION", "TIME", "BY", "PATH", "CHANGE"]
    assert [row.split("\t")[:1] + row.split("\t")[2:] for row in rows] == [
        ["2", "joe", "a", "1 -> 2"],
        ["2", "joe", "b", "none -> true"],
        ["1", "joe", "a", "none -> 1"],
    ]
    assert len(micro("config", "history", "b", "-n", "1")[1].splitlines()) == 2
    assert micro("config", "get", "--as-of", "1", "a")[1] == "1\n"
    assert micro("config", "get", "--as-of", "1s", "a")[1] == "1\n"
    assert micro("config", "get", "--as-of", rows[-1].split("\t")[1], "a")[0] in (0, 127)
    assert micro("config", "get", "--as-of", "99", "a")[::2] == (
        127,
        "There is no revision 99 yet: the last one is 2.\n",
    )
    for when in ("yesterday", "9" * 30, "9" * 30 + "d", "0001-01-01T00:00:00+14:00"):
        code, _, err = micro("config", "get", "--as-of", when, "a")
        assert (code, err) == (1, f"--as-of is invalid: {when}. Try 12, 10m or 2026-01-31T12:00:00Z\n")


def test_watching_prints_every_value(micro, monkeypatch, capfdbinary):
    opened = []
    watch = config.watch
    monkeypatch.setattr(config, "watch", lambda *args, **rest: opened.append(watch(*args, **rest)) or opened[-1])
    micro("config", "set", "n", "0")
    following = threading.Thread(target=run, args=(["config", "watch", "n"],))
    following.start()
    out = b""
    for number in range(1, 4):
        deadline = time.monotonic() + 10
        while len(out.splitlines()) < number and time.monotonic() < deadline:
            time.sleep(0.05)
            out += capfdbinary.readouterr().out
        run(["config", "set", "n", str(number)])
    opened[0].close()
    following.join(10)
    assert out.splitlines() == [b"0", b"1", b"2"]
