"""services, call and dynamic commands."""

from __future__ import annotations

import json
import re
import signal
import subprocess

import click
import pytest

from micro.cli.root import cli
from micro.proto import registry_pb2
from tests.micro.conftest import MICRO, eventually

SLOW = """
import time
from dataclasses import dataclass
from micro import Service

@dataclass
class Nothing:
    pass

class Slow:
    def call(self, request: Nothing) -> Nothing:
        time.sleep(2)
        return request

service = Service("slow")
service.handle(Slow())
service.run()
"""


@pytest.fixture
def slow(user, sidecar, start):
    """A service that takes two seconds for an answer."""
    running = start(SLOW, HOME=str(user.home), MICRO_PROXY=sidecar.address)
    eventually(lambda: ("micro", "slow") in sidecar.registered)
    return running


def test_services_are_listed_sorted_one_per_line(user, sidecar, helloworld):
    sidecar.registered["micro", "abacus"] = sidecar.registered["micro", "helloworld"]
    done = user.micro("services")
    assert (done.returncode, done.stdout) == (0, "abacus\nhelloworld\n")


def test_call_prints_the_answer_indented_by_a_tab(user, helloworld):
    done = user.micro("call", "helloworld", "Helloworld.Call", '{"name": "Joe"}')
    assert (done.returncode, done.stdout) == (0, '{\n\t"msg": "Hello Joe"\n}\n')


def test_call_raw_prints_one_line(user, helloworld):
    done = user.micro("call", "--output", "raw", "helloworld", "Helloworld.Call", '{"name":', '"Joe"}')
    assert done.stdout == '{"msg": "Hello Joe"}\n'


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["helloworld", "Helloworld.Nosuch"], 5, 'Service method "Helloworld.Nosuch" not found'),
        (["nosuch", "Nosuch.Call"], 4, 'Service "nosuch" not found'),
        (["no such", "Nosuch.Call"], 4, 'Service "no such" not found'),
        (["nö/such", "Nosuch.Call"], 4, 'Service "nö/such" not found'),
        (["helloworld", "Hello world.Call"], 3, 'Method name "Hello world.Call" invalid format'),
        (["helloworld", "nosuch"], 3, 'Method name "nosuch" invalid format. Expecting service.endpoint'),
        (["helloworld", "Helloworld.Call", "{"], 1, "Error creating request"),
        (["helloworld", "Helloworld.Call", "[]"], 1, "Error creating request"),
        (
            ["--request_timeout", "soon", "helloworld", "Helloworld.Call"],
            2,
            "Invalid format for request_timeout duration. Try 500ms or 5s",
        ),
        (["helloworld", "Helloworld.Call", '{"nam": 1}'], 127, "it has no field nam, but name"),
    ],
)
def test_a_call_that_cannot_be_made_says_why(user, helloworld, args, code, text):
    done = user.micro("call", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_call_without_arguments_shows_its_help(stranger):
    done = stranger.micro("call")
    assert done.returncode == 0
    assert "micro call -" in done.stdout


def test_call_sends_the_metadata_and_the_token(user, sidecar, helloworld):
    user.micro("call", "--metadata", "colour=red", "helloworld", "Helloworld.Call", "{}")
    path, metadata = sidecar.calls[-1]
    assert path == "/helloworld.Helloworld/Call"
    assert metadata["colour"] == "red"
    assert metadata["authorization"].startswith("Bearer ")
    assert metadata["micro-namespace"] == "micro"


def test_metadata_that_is_binary_by_its_name_arrives(user, sidecar, helloworld):
    done = user.micro("call", "--metadata=Trace-Bin=abc", "helloworld", "Helloworld.Call")
    assert (done.returncode, done.stderr) == (0, "")
    assert sidecar.calls[-1][1]["trace-bin"] == str(b"abc")


@pytest.mark.parametrize("pair", ["colour", "=red", "a colour=red", "colour=röt", "colour=a\nb", ":path=/x", "é=1"])
def test_metadata_that_no_header_can_hold_is_refused_with_a_sentence(user, sidecar, helloworld, pair):
    called = len(sidecar.calls)
    for command in ("call", "stream"):
        done = user.micro(command, "--metadata", pair, "helloworld", "Helloworld.Call")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"Invalid metadata: {pair}. ")
        assert "Traceback" not in done.stderr
    assert not [path for path, _ in sidecar.calls[called:] if "Helloworld" in path]


def test_a_call_that_takes_too_long_times_out(user, slow):
    done = user.micro("call", "--request_timeout", "300ms", "slow", "Slow.Call")
    assert (done.returncode, done.stderr) == (1, "Request timed out\n")


def test_a_dynamic_command_waits_as_long_as_it_is_told_to(user, slow):
    for flag in ("--request_timeout=300ms", "--request-timeout=300ms"):
        done = user.micro("slow", "call", flag)
        assert (done.returncode, done.stderr) == (1, "Request timed out\n")
    assert user.micro("slow", "call", "--request_timeout", "10s").stdout == "{}\n"
    done = user.micro("slow", "call", "--request_timeout=soon")
    assert (done.returncode, done.stderr) == (2, "Invalid format for request_timeout duration. Try 500ms or 5s\n")
    assert "\t--request_timeout duration" in user.micro("slow", "call", "--help").stdout


def test_an_unreachable_server_is_named_with_the_way_to_start_one(user):
    for args in (["services"], ["call", "a", "B.C"], ["helloworld", "--name=Joe"], ["status"], ["run", "."]):
        (user.home / "main.py").write_text("")
        done = user.micro(*args, MICRO_PROXY="127.0.0.1:1")
        assert done.returncode == 4
        assert done.stdout == ""
        assert "127.0.0.1:1" in done.stderr
        assert "micro server" in done.stderr


def test_a_service_is_a_command(user, helloworld):
    expected = {"msg": "Hello Joe"}
    for args in (
        ["--name=Joe"],
        ["call", "--name", "Joe"],
        ["helloworld", "call", "-name=Joe"],
        ["Call", "--name=Joe"],
    ):
        done = user.micro("helloworld", *args)
        assert json.loads(done.stdout) == expected, done.stderr


def test_the_help_of_a_service_shows_its_methods_and_their_flags(user, helloworld):
    done = user.micro("helloworld", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "COMMANDS:\n\tcall" in done.stdout
    assert "FLAGS:\n\t--name string" in user.micro("helloworld", "call", "--help").stdout
    bare = user.micro("helloworld")
    assert (bare.returncode, bare.stdout, bare.stderr) == (0, "", done.stdout)


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["--nam=Joe"], 1, "Unknown flag: nam\nDid you mean --name?"),
        (["--name"], 1, "--name needs a value: --name=..., or --name= for a blank one."),
        (["--name", "--output=raw"], 1, "--name needs a value: --name=..., or --name= for a blank one."),
        (["--name=Joe", "--output"], 1, "--output needs a value: --output=..., or --output= for a blank one."),
        (["--name=a=b"], 1, "Invalid flag: --name=a=b. Expected format: --foo=bar"),
        (
            ["nosuch", "--name=Joe"],
            128,
            "Endpoint Helloworld.Nosuch not found for service helloworld\n"
            "See `micro helloworld --help` for those that it has.",
        ),
        (
            ["cal", "--name=Joe"],
            128,
            "Endpoint Helloworld.Cal not found for service helloworld\nDid you mean `micro helloworld call`?",
        ),
        (["a", "b", "c"], 1, "Incorrect number of arguments"),
    ],
)
def test_a_dynamic_command_that_cannot_be_understood_says_why(user, helloworld, args, code, text):
    done = user.micro("helloworld", *args)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"{text}\n")


def test_an_unknown_command_is_no_service(user):
    done = user.micro("lgoin")
    assert done.returncode == 1
    assert (
        done.stderr
        == "Unrecognized micro command: lgoin. Please refer to 'micro --help'\nDid you mean `micro login`?\n"
    )


@pytest.mark.parametrize("word", ["heloworld", "helword"])  # the latter is nearly `help`, too
def test_a_service_that_is_spelled_nearly_so_is_named(user, helloworld, word):
    done = user.micro(word, "--name=Joe")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Unrecognized micro command: {word}. Please refer to 'micro --help'\nDid you mean `micro helloworld`?\n"
    )


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        *[(word, "`micro run .`") for word in ("deploy", "up", "push", "start", "create")],
        *[(word, "micro status") for word in ("ps", "apps", "ls", "apps:info")],
        *[(word, "micro web") for word in ("open", "dashboard")],
        *[(word, "micro status") for word in ("components", "pods")],
        *[(word, "micro namespaces") for word in ("projects", "workspaces")],
        *[(word, "micro store list") for word in ("addons", "database")],
        *[(word, "micro service --name NAME") for word in ("expose", "tunnel")],
        ("signin", "micro login"),
        ("whoami", "micro user"),
        ("describe", "micro get service NAME"),
        *[(word, "micro kill NAME") for word in ("stop", "rm", "destroy", "apps:destroy")],
        *[(word, "micro update NAME --instances 3") for word in ("scale", "ps:scale")],
        *[(word, "micro vars set NAME KEY=value") for word in ("config:set", "config:unset")],
        *[(word, "There is no shell in what runs: micro logs NAME") for word in ("exec", "ssh")],
        ("restart", "micro redeploy NAME"),
        ("domains", "A service has its host without a command"),
        ("info", "micro get service NAME"),
        ("logs:tail", "micro logs --follow NAME"),
        ("confg", "Did you mean `micro config`?"),
        ("loign", "Did you mean `micro login`?"),
    ],
)
def test_a_word_of_another_platform_is_answered_with_ours(user, word, hint):
    done = user.micro(word, "web", "--some=thing")
    first, second = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert first == f"Unrecognized micro command: {word}. Please refer to 'micro --help'"
    assert hint in second


def test_hints_name_commands_and_options_that_there_are():
    from micro.cli import meant

    context = click.Context(cli, info_name="micro")
    for sentence in {*meant.FOREIGN.values(), *meant.NOUNS.values()}:
        for words in re.findall(r"micro ([a-z][\w .-]*)", sentence):
            name, *rest = words.split()
            command = cli.get_command(context, name)
            assert command is not None, words
            if isinstance(command, click.Group) and rest:
                command, rest = command.commands[rest[0]], rest[1:]
            options = {spelling for param in command.params for spelling in param.opts}
            assert options >= {word for word in rest if word.startswith("--")}, words


def test_a_service_of_another_platforms_word_is_called(user, sidecar, everything):
    sidecar.registered["micro", "deploy"] = sidecar.registered["micro", "everything"]
    assert "COMMANDS:" in user.micro("deploy", "--help").stdout


def test_a_closed_pipe_ends_the_command_quietly(user, sidecar, helloworld):
    for number in range(20_000):
        sidecar.registered["micro", f"service-{number:05}"] = sidecar.registered["micro", "helloworld"]
    line = f"{MICRO[0]} services | head -1"
    done = subprocess.run(["bash", "-c", line], check=False, env=user.env, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("helloworld\n", "")


def test_a_plugin_on_the_path_is_a_command(user, tmp_path):
    plugin = tmp_path / "micro-greet"
    plugin.write_text("#!/bin/sh\necho plugin $@\n")
    plugin.chmod(0o755)
    done = user.micro("greet", "--loud", PATH=f"{tmp_path}:{user.env['PATH']}")
    assert done.stdout == "plugin --loud\n"


def test_a_plugin_comes_after_micros_own_commands_and_before_services(user, tmp_path, helloworld):
    for name in ("env", "helloworld", "broken"):
        plugin = tmp_path / f"micro-{name}"
        plugin.write_text("#!/bin/sh\necho plugin\nexit 7\n" if name != "broken" else "no program")
        plugin.chmod(0o755)
    path = f"{tmp_path}:{user.env['PATH']}"
    assert user.micro("env", "get", PATH=path).stdout == "local\n"
    done = user.micro("helloworld", "--name=Joe", PATH=path)
    assert (done.returncode, done.stdout) == (7, "plugin\n")
    done = user.micro("broken", PATH=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "micro-broken" in done.stderr


def test_ctrl_c_ends_a_call_with_one_word(user, sidecar, slow):
    process = user.start("call", "slow", "Slow.Call")
    eventually(lambda: any(path == "/slow.Slow/Call" for path, _ in sidecar.calls))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, "", "\nInterrupted.\n")


WHERE = "site speaks HTTP and has no methods to call. Open it at "


def test_a_service_that_speaks_http_has_no_methods_to_call_and_its_help_says_where_it_is(user, sidecar):
    sidecar.registered["micro", "site"] = registry_pb2.Service(name="site", version="v2", protocol="http")
    where = f"{WHERE}the gateway, on a server of this machine http://localhost:8080/site/."
    done = user.micro("site", "--name=Joe")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{where}\n")
    done = user.micro("site", "--help")
    told = f"NAME:\n\tmicro site\n\nVERSION:\n\tv2\n\nDESCRIPTION:\n\t{where}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, told, "")
    done = user.micro("site")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", told)


def test_the_help_of_a_service_of_another_namespace_says_where_that_is(user, sidecar):
    sidecar.registered["shop", "site"] = registry_pb2.Service(name="site", version="latest", protocol="http")
    done = user.micro("--namespace=shop", "site", "--help")
    assert f"{WHERE}the gateway, on a server of this machine http://shop.localhost:8080/site/." in done.stdout


def test_the_help_of_a_service_that_speaks_http_and_that_the_platform_runs_names_its_own_host(user, sidecar):
    sidecar.steps = [("running", {"address": "http://site--micro.localhost:8080"})]
    folder = user.home / "site"
    folder.mkdir()
    (folder / "index.html").write_text("hello")
    user.micro("run", "--detach", folder)
    sidecar.registered["micro", "site"] = registry_pb2.Service(name="site", version="latest", protocol="http")
    done = user.micro("site", "--help")
    assert f"{WHERE}http://site--micro.localhost:8080, or at /site/ of the gateway." in done.stdout


def test_a_stream_prints_each_message_on_its_own(user, everything):
    done = user.micro("stream", "--output=raw", "everything", "Everything.Thrice", '{"name":', '"Joe"}')
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["Joe"] * 3
    done = user.micro("stream", "everything", "Everything.Each", "-", stdin='{"name": "a"}\n{"name": "b"}\n')
    assert done.stdout.startswith('{\n\t"name": "a"')
    assert done.stdout.count('"name"') == 2


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["everything", "Everything.Nosuch"], 5, 'Service method "Everything.Nosuch" not found'),
        (["nosuch", "Nosuch.Call"], 4, 'Service "nosuch" not found'),
        (["everything", "nosuch"], 3, 'Method name "nosuch" invalid format. Expecting service.endpoint'),
        (["everything", "Everything.Each", "{"], 1, "Error creating request"),
        (["everything", "Everything.Break"], 128, "error receiving from everything.Everything.Break: it broke"),
    ],
)
def test_a_stream_that_fails_says_why(user, everything, args, code, text):
    done = user.micro("stream", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_stats_has_a_line_for_each_node(user, helloworld):
    lines = user.micro("stats", "helloworld").stdout.splitlines()
    assert lines[:4] == ["service  helloworld", "", "version latest", ""]
    assert lines[4].split() == [
        "node",
        "address:port",
        "started",
        "uptime",
        "memory",
        "threads",
        "gc",
        "requests",
        "errors",
    ]
    node = lines[5].split("\t")
    assert (node[0].startswith("helloworld-"), helloworld.address in node) == (True, True)
    assert re.search(r"\t[\d.]+mb\t", lines[5])
    figures = json.loads(user.micro("debug", "stats", "--all", "--output=json").stdout)
    assert (figures[0]["service"], figures[0]["threads"] > 0) == ("helloworld", True)


def test_on_a_terminal_the_columns_of_stats_are_aligned_by_blanks(user, sidecar, helloworld):
    sidecar.registered["micro", "helloworld"].nodes.add(id="b", address="127.0.0.1:1")
    lines = user.on_a_terminal("stats", "helloworld", columns=200)
    assert not any("\t" in line for line in lines)
    header, first, second = lines[4:7]
    column = header.index("address:port")
    assert first[column:].startswith(helloworld.address)
    assert second[column:].startswith("127.0.0.1:1 ")
    assert "\t" in user.micro("stats", "helloworld").stdout


def test_several_services_are_asked_at_once_or_all_of_a_kind(user, sidecar, helloworld):
    sidecar.registered["micro", "abacus"] = registry_pb2.Service(name="abacus", version="latest", protocol="http")
    sidecar.registered["micro", "abacus"].nodes.add(id="a", address="127.0.0.1:1")
    told = [line for line in user.micro("stats", "helloworld", "abacus").stdout.splitlines() if "service  " in line]
    assert told == ["service  helloworld", "service  abacus"]
    for args in (["--all"], ["--all=custom"], ["--all", "custom"], ["abacus", "helloworld"]):
        rows = json.loads(user.micro("debug", "health", *args, "-o", "json").stdout)
        assert [row["service"] for row in rows] == ["abacus", "helloworld"], args
    done = user.micro("debug", "stats", "--all", "builtin")
    assert (done.returncode, done.stderr) == (1, "There is no such service in the namespace micro.\n")
    assert user.micro("debug", "stats", "--all", "custom", "abacus").stderr == "Name a service, or say --all.\n"


def test_health_tells_nodes_that_answer_from_those_that_do_not(user, sidecar, helloworld):
    gone = sidecar.registered["micro", "helloworld"].nodes.add(id="gone", address="127.0.0.1:1")
    assert gone.id == "gone"
    found = json.loads(user.micro("debug", "health", "helloworld", "--output=json").stdout)
    assert [row["status"] for row in found if row["node"] != "gone"] == ["ok"]
    lines = user.micro("debug", "health", "--all").stdout.splitlines()
    assert lines[4].split() == ["node", "address:port", "status"]
    assert user.micro("debug", "health").stderr == "Name a service, or say --all.\n"
    assert user.micro("stats", "nosuch").stderr == 'Service "nosuch" not found\n'


def test_a_service_is_shown_with_its_nodes_and_the_shape_of_its_endpoints(user, sidecar, everything, helloworld):
    value = registry_pb2.Value
    inner = value(name="options", type="Options", values=[value(name="limit", type="int64")])
    request = value(name="Request", values=[value(name="name", type="string"), inner])
    everything.endpoints.add(name="Everything.Echo", request=request, metadata={"stream": "true"})
    shown = user.micro("get", "service", "everything").stdout
    assert shown.startswith("service  everything\n\nversion latest\n\nID\t")
    assert "Endpoint: Everything.Echo\n\nMetadata: stream=true\n\n" in shown
    assert "Request: {\n\tname string\n\toptions {\n\t\tlimit int64\n\t}\n}\n\nResponse: {}\n" in shown
    found = json.loads(user.micro("get", "service", "everything", "--output", "json").stdout)
    assert found[0]["endpoints"][0]["request"][1]["fields"] == [{"name": "limit", "type": "int64", "fields": []}]
    assert user.micro("get", "service", "nosuch").returncode == 4
