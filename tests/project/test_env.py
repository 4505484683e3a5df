"""Claims about the environment: read once, typed, refused with a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from project import env

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def variable(monkeypatch):
    def set_to(value: str) -> None:
        monkeypatch.setenv("MICRO_X", value)

    monkeypatch.delenv("MICRO_X", raising=False)
    return set_to


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        (":8080", ("0.0.0.0", 8080)),  # noqa: S104
        ("8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        ("  localhost:1 ", ("localhost", 1)),
    ],
)
def test_an_address_is_a_host_and_a_port(variable, text, address):
    variable(text)
    assert env.address("MICRO_X", "x:1") == address


@pytest.mark.parametrize("text", ["localhost", "localhost:0", "localhost:65536", "localhost:http", ":"])
def test_what_is_no_address_is_refused_by_name(variable, text):
    variable(text)
    with pytest.raises(SystemExit, match=r"MICRO_X is .*say host:port"):
        env.address("MICRO_X", "x:1")


def test_durations_have_units(variable):
    variable("1.5m")
    assert env.duration("MICRO_X", "1s") == timedelta(seconds=90)
    variable("90")
    with pytest.raises(SystemExit, match="MICRO_X is '90'"):
        env.duration("MICRO_X", "1s")


def test_a_variable_without_default_is_required():
    with pytest.raises(SystemExit, match="MICRO_X is not set"):
        env.text("MICRO_X")


def test_a_blank_variable_counts_as_unset(variable):
    variable("  ")
    assert env.number("MICRO_X", 7) == 7


def settings_say(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    script = "from django.conf import settings; print(settings.MICRO_PROFILE, settings.DEBUG)"
    return subprocess.run(
        [sys.executable, "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "MICRO_HOME": str(tmp_path / "home"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"MICRO_PROFILE": "platform", "MICRO_DEBUG": "true"}, "MICRO_DEBUG is on"),
        ({"MICRO_PROFILE": "platform", "MICRO_ADMIN_PASSWORD": "micro"}, "MICRO_ADMIN_PASSWORD is the default one"),
        ({"MICRO_PROFILE": "production"}, "MICRO_PROFILE is 'production': say local or platform."),
    ],
)
def test_an_unsafe_profile_ends_every_process_with_one_sentence(tmp_path, environment, sentence):
    done = settings_say(tmp_path, **environment)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_local_profile_may_debug(tmp_path):
    assert settings_say(tmp_path, MICRO_DEBUG="yes").stdout == "local True\n"


def test_the_secret_key_is_made_once_and_private(tmp_path):
    for _ in range(2):
        assert settings_say(tmp_path).returncode == 0
    keys = list((tmp_path / "home").iterdir())
    assert [key.name for key in keys] == ["secret_key"]
    assert keys[0].stat().st_mode & 0o777 == 0o600
    assert len(keys[0].read_text()) >= 50
