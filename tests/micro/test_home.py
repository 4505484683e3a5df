"""`~/.micro`: the formats that Micro 3 left there, and who may do without."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from micro import errors, home, tokens


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_reading_makes_no_file(own_home):
    target = home.target()
    assert (target.environment, target.address, target.namespace) == ("local", "127.0.0.1:8081", "micro")
    assert tokens.read(target) is None
    assert list(own_home.iterdir()) == []


def test_a_dotted_path_addresses_a_tree_of_strings(own_home):
    config = home.Config()
    config.set("namespaces.local.current", "shop")
    config.set("namespaces.local.all", "shop")
    assert config.get("namespaces.local.current") == "shop"
    assert json.loads(config.get("namespaces.local")) == {"current": "shop", "all": "shop"}
    assert config.get("namespaces.nosuch.current") == ""
    config.set("namespaces", "flat")
    assert config.get("namespaces.local.current") == ""
    assert json.loads((own_home / ".micro" / "config.json").read_text()) == {"env": "local", "namespaces": "flat"}


def test_processes_that_write_at_once_lose_nothing():
    config = home.Config()
    writers = [threading.Thread(target=config.set, args=(f"key{n}.inner", str(n))) for n in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [config.get(f"key{n}.inner") for n in range(20)] == [str(n) for n in range(20)]


def test_a_config_file_from_before_there_was_a_folder_is_moved_into_it(own_home):
    (own_home / ".micro").write_text('{"env": "dev"}')
    assert home.Config().get("env") == "dev"
    assert json.loads((own_home / ".micro" / "config.json").read_text()) == {"env": "dev"}


def test_the_environment_variables_win_over_the_file(monkeypatch):
    config = home.Config()
    home.save_environments(config, {"mine": home.Environment("mine", "10.0.0.1:8081", "Ours")})
    config.set("env", "mine")
    config.set("namespaces.mine.current", "shop")
    assert (home.target().address, home.target().namespace) == ("10.0.0.1:8081", "shop")
    monkeypatch.setenv("MICRO_ENV", "dev")
    assert home.target().address == "proxy.m3o.dev"
    monkeypatch.setenv("MICRO_PROXY", "127.0.0.1:9")
    monkeypatch.setenv("MICRO_NAMESPACE", "other")
    assert (home.target().address, home.target().namespace) == ("127.0.0.1:9", "other")
    assert home.target(address="1.2.3.4:5").address == "1.2.3.4:5"


def test_an_unknown_environment_is_named(monkeypatch):
    monkeypatch.setenv("MICRO_ENV", "nosuch")
    with pytest.raises(errors.NotFound, match='Env "nosuch" not found'):
        home.target()


def test_saved_environments_keep_micros_format_and_never_hide_the_built_in_ones():
    config = home.Config()
    saved = {"mine": home.Environment("mine", "a:1", "d"), "local": home.Environment("local", "evil:1")}
    home.save_environments(config, saved)
    assert json.loads(config.get("envs")) == {"mine": {"Name": "mine", "ProxyAddress": "a:1", "Description": "d"}}
    assert home.environments(config)["local"].address == "127.0.0.1:8081"


def test_tokens_are_kept_by_server_namespace_and_account():
    local, other = home.target(), home.target(address="10.0.0.1:8081")
    first, second = (tokens.Token(name, "r", 1, 2) for name in ("first", "second"))
    tokens.save(local, account="admin:x", token=first)
    tokens.save(other, account="admin:x", token=second)
    assert (tokens.read(local), tokens.read(other)) == (first, second)
    tokens.remove(local)
    tokens.save(other, account="admin:x", token=second)
    assert tokens.read(other) == second


def test_a_damaged_line_is_a_login_that_is_not_there(own_home):
    target = home.target()
    tokens.save(target, account="admin", token=tokens.Token("a", "r", 1, 2))
    path = own_home / ".micro" / "tokens"
    path.write_text(path.read_text().rpartition(":")[0] + ":!!!\n\nrubbish\n")
    assert tokens.read(target) is None


def test_a_token_in_the_old_config_file_is_found_and_can_be_removed():
    target = home.target()
    for key, value in (("token", "a"), ("refresh-token", "r"), ("expiry", "7")):
        target.config.set(f"micro.auth.local.{key}", value)
    assert tokens.read(target) == tokens.Token("a", "r", 0, 7)
    tokens.remove(target)
    assert tokens.read(target) is None


def test_a_service_without_a_home_can_call_others(sidecar):
    script = (
        "from micro import Client, registry\n"
        f"client = Client({sidecar.address!r})\n"
        "print(registry.services(client=client))\n"
    )
    env = {"HOME": "/proc/nonexistent", "MICRO_AUTH_ID": "admin", "MICRO_AUTH_SECRET": "micro"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
