"""Logins in the desktop's keyring, for who chooses it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import keyring
import pytest
from fakes import MemoryKeyring

from micro import errors, home, tokens
from micro.tokens import Token

TOKEN = Token("access", "refresh", 1, 2)


@pytest.fixture
def target(tmp_path, monkeypatch) -> home.Target:
    monkeypatch.setenv("HOME", str(tmp_path))
    home.Config().set("logins", "keyring")
    return home.target()


@pytest.fixture
def desktop() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    keyring.set_keyring(made := MemoryKeyring())
    yield made
    keyring.set_keyring(before)


def test_a_login_is_in_the_keyring_and_in_no_file_until_logout(target, desktop, tmp_path):
    tokens.save(target, account="joe", token=TOKEN)
    assert tokens.read(target) == TOKEN
    assert [name for _, name in desktop.kept] == ["micro://127.0.0.1:8081/micro/joe"]
    assert not (tmp_path / ".micro" / "tokens").exists()
    tokens.remove(target)
    assert (tokens.read(target), desktop.kept) == (None, {})


def test_who_goes_back_to_files_has_the_login_that_was_there(target, desktop):
    target.config.set("logins", "file")
    tokens.save(target, account="joe", token=TOKEN)
    target.config.set("logins", "keyring")
    assert tokens.read(target) is None
    target.config.set("logins", "file")
    assert tokens.read(target) == TOKEN


def test_a_keyring_that_fails_is_told_with_the_way_out(target, desktop):
    desktop.refusal = "the collection is locked."
    with pytest.raises(errors.FailedPrecondition, match=r"cannot be used \(the collection is locked\); .* logins file"):
        tokens.save(target, account="joe", token=TOKEN)


def test_without_the_package_its_name_is_told(target, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(errors.FailedPrecondition, match=r"pip install 'micro\[keyring\]'"):
        tokens.read(target)
