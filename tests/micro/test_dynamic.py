"""Dynamic commands: every kind of field, streams, and help, by a service that sends back what it gets."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from micro import codec
from micro.cli.dynamic import flags, requests
from micro.cli.dynamic.endpoints import Endpoint, Field, endpoints_of
from micro.cli.failures import Failure
from micro.proto import registry_pb2
from tests.micro.conftest import MICRO


@pytest.fixture
def endpoint(descriptors) -> Endpoint:
    known = endpoints_of([registry_pb2.Service(name="everything", descriptors=descriptors)])
    return next(endpoint for endpoint in known if endpoint.name == "Everything.Echo")


@pytest.fixture
def sent(endpoint, descriptors):
    """What flags make of a request, as the message has it: only fields that are set."""
    from google.protobuf import json_format, message_factory

    from micro.client import methods_in

    kind = message_factory.GetMessageClass(methods_in(descriptors)["Everything.Echo"].input_type)

    def sent(*typed: str) -> dict:
        request = requests.one(endpoint, flags.parse(list(typed), endpoint))
        message = codec.from_dict(kind, request)
        return json_format.MessageToDict(
            message, preserving_proto_field_name=True, descriptor_pool=kind.DESCRIPTOR.file.pool
        )

    return sent


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--name=Joe"], {"name": "Joe"}),
        (["--name", "a=b"], {"name": "a=b"}),
        (["-name=Joe", "--loud"], {"name": "Joe", "loud": True}),
        (["--loud", "false", "--small", "-3"], {"small": -3}),
        (["--large=0x10", "--positive=07", "--ratio=1e3"], {"large": "16", "positive": 7, "ratio": 1000.0}),
        (["--ratio=-inf"], {"ratio": "-Infinity"}),
        (["--data=aGk="], {"data": "aGk="}),
        (["--data", "_-8"], {"data": "/+8="}),
        (["--colour=red"], {"colour": "COLOUR_RED"}),
        (["--colour=COLOUR_RED"], {"colour": "COLOUR_RED"}),
        (["--colour=dark-green"], {"colour": "COLOUR_DARK_GREEN"}),
        (["--colour=2"], {"colour": "COLOUR_DARK_GREEN"}),
        (["--colours=red,2"], {"colours": ["COLOUR_RED", "COLOUR_DARK_GREEN"]}),
        (["--words=a,b"], {"words": ["a", "b"]}),
        (["--words=a,b", "--words=c"], {"words": ["a,b", "c"]}),
        (["--words", '["a,b", "=c"]'], {"words": ["a,b", "=c"]}),
        (["--words", "[draft"], {"words": ["[draft"]}),
        (["--numbers=1,2", "--numbers=3"], {"numbers": ["1", "2", "3"]}),
        (["--labels_a=1", "--labels.b-c=2"], {"labels": {"a": "1", "b-c": "2"}}),
        (["--labels", "a=1,b=2", "--labels=c=3"], {"labels": {"a": "1", "b": "2", "c": "3"}}),
        (["--labels", '{"a": "b=c"}'], {"labels": {"a": "b=c"}}),
        (["--seen_7", "--seen.9=true"], {"seen": {"7": True, "9": True}}),
        (["--home_city=Bonn", "--home-zip-code=53111"], {"home": {"city": "Bonn", "zip_code": 53111}}),
        (["--home.zip_code=1"], {"home": {"zip_code": 1}}),
        (["--home", '{"city": "Bonn"}'], {"home": {"city": "Bonn"}}),
        (["--places.bonn.city=Bonn"], {"places": {"bonn": {"city": "Bonn"}}}),
        (["--stops.1.city=B", "--stops.0.city=A"], {"stops": [{"city": "A"}, {"city": "B"}]}),
        (["--stops", '{"city": "A"}', "--stops", '{"city": "B"}'], {"stops": [{"city": "A"}, {"city": "B"}]}),
        (["--chain_next_next_label=deep"], {"chain": {"next": {"next": {"label": "deep"}}}}),
        (["--nickname="], {"nickname": ""}),
        (["--office_city=Bonn"], {"office": {"city": "Bonn"}}),
        (["--at=2026-01-31"], {"at": "2026-01-31T00:00:00Z"}),
        (["--at=2026-01-31T12:00:00+02:00"], {"at": "2026-01-31T10:00:00Z"}),
        (["--at=86400"], {"at": "1970-01-02T00:00:00Z"}),
        (["--lasting=1m30s"], {"lasting": "90s"}),
        (["--lasting=500ms"], {"lasting": "0.500s"}),
        (["--lasting", "-2"], {"lasting": "-2s"}),
        (["--count=7", "--note=x"], {"count": "7", "note": "x"}),
        (["--extra", '{"a": [1, true]}'], {"extra": {"a": [1.0, True]}}),
        (["--mask=home.zip_code,name"], {"mask": "home.zipCode,name"}),
        (
            ["--thing", '{"@type": "type.googleapis.com/everything.Place", "city": "Bonn"}'],
            {"thing": {"@type": "type.googleapis.com/everything.Place", "city": "Bonn"}},
        ),
        (["--json", '{"name": "a=b", "home": {"city": "X", "zip_code": 1}}', "--home_city=Y"],
         {"name": "a=b", "home": {"city": "Y", "zip_code": 1}}),
    ],
)  # fmt: skip
def test_a_flag_sets_its_field(sent, typed, expected):
    assert sent(*typed) == expected


def test_now_and_a_while_ago_are_times(sent):
    at = datetime.fromisoformat(sent("--at=now-1h")["at"])
    assert timedelta(minutes=59) < datetime.now(UTC) - at < timedelta(minutes=61)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(sent("--at", "now")["at"])) < timedelta(minutes=1)


def test_bytes_and_json_come_from_files(sent, tmp_path):
    (tmp_path / "data").write_bytes(b"\0\xff")
    (tmp_path / "request.json").write_text('{"name": "Joe", "loud": true}')
    assert sent(f"--data=@{tmp_path}/data") == {"data": base64.b64encode(b"\0\xff").decode()}
    assert sent("--json", f"@{tmp_path}/request.json", "--loud=false") == {"name": "Joe"}


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (["--nam=Joe"], "Unknown flag: nam\nDid you mean --name?"),
        (["--home.citty=Bonn"], "Unknown flag: home.citty\nDid you mean --home_city?"),
        (["--small=x"], "Invalid value for --small: 'x' is no int32"),
        (["--small=3000000000"], "Invalid value for --small: '3000000000' is no int32"),
        (["--positive=-1"], "Invalid value for --positive: '-1' is no uint32"),
        (["--loud=perhaps"], "Invalid value for --loud: 'perhaps' is no bool: true or false"),
        (["--colour=blue"], "Invalid value for --colour: 'blue' is no Colour (COLOUR_UNKNOWN, COLOUR_RED, COLOUR_"),
        (["--data=a!"], "Invalid value for --data: 'a!' is no bytes: base64, or @file"),
        (["--data=@/nosuch"], "Invalid value for --data: /nosuch: No such file or directory"),
        (["--at=soon"], "Invalid value for --at: 'soon' is no timestamp: RFC 3339"),
        (["--at=99999999999999999999"], "Invalid value for --at: '99999999999999999999' is no timestamp"),
        (["--at=now-99999999999h"], "Invalid value for --at: 'now-99999999999h' is no timestamp"),
        (["--lasting=long"], "Invalid value for --lasting: 'long' is no duration: such as 1h30m"),
        (["--home=Bonn"], "Invalid value for --home: 'Bonn' is no Place: give it as a JSON object, or its fields"),
        (["--labels", "a"], "Invalid value for --labels: 'a' is no map[string]string: key=value"),
        (["--email=a", "--office_city=b"], "--email and --office_city exclude each other: both are contact."),
        (["--stops.1.city=B"], "--stops.1.city leaves a gap: item 0 is missing."),
        (["--home={}", "--home_city=x"], "Error parsing request, duplicate key: home"),
        (["--name=a=b"], "Invalid flag: --name=a=b. Expected format: --foo=bar"),
        (["--name", "Joe", "extra"], "Invalid flag: extra. Expected format: --foo=bar"),
        (["--json", "{"], "Invalid value for --json: "),
        (["--json", "[1]"], "Invalid value for --json: 1 is no JSON object"),
        (["--json", "[" * 100_000], "Invalid value for --json: "),
        (["--json", "{}", "--json", "{}"], "Everything.Echo takes one message, and --json gives 2."),
        (["--json", "@/nosuch"], "Invalid value for --json: /nosuch: No such file or directory"),
    ],
)  # fmt: skip
def test_a_flag_that_cannot_be_right_is_named_with_what_it_should_be(sent, typed, text):
    with pytest.raises(Failure) as failure:
        sent(*typed)
    assert failure.value.text.startswith(text)


def test_a_field_of_the_request_wins_over_the_option_of_its_name():
    inner = Field("timeout", "string")
    own = Endpoint("A.B", (Field("request", "Request", inner=lambda: (inner,)), Field("json", "string")))
    given = flags.parse(["--request_timeout=7s", "--json=x"], own)
    assert given.options == {}
    assert requests.one(own, given) == {"request": {"timeout": "7s"}, "json": "x"}


def test_value_trees_do_where_there_are_no_descriptors():
    value = registry_pb2.Value
    values = [
        value(name="data", type="[]uint8"),
        value(name="ids", type="[]int64"),
        value(name="labels", type="map[string]string"),
        value(name="options", type="Options", values=[value(name="limit", type="int64")]),
    ]
    endpoint = registry_pb2.Endpoint(name="Old.Call", request=value(name="Request", values=values))
    known = endpoints_of([registry_pb2.Service(name="old", endpoints=[endpoint])])[0]
    typed = ["--data=aGk=", "--ids=1,2", "--labels_a=b", "--options_limit=3"]
    assert requests.one(known, flags.parse(typed, known)) == {
        "data": "aGk=", "ids": [1, 2], "labels": {"a": "b"}, "options": {"limit": 3},
    }  # fmt: skip


def test_every_kind_of_field_arrives(user, everything):
    done = user.micro("everything", "echo", "--name=Joe", "--at=2026-01-31", "--stops.0.city=Bonn", "--output=raw")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    reply = json.loads(done.stdout)
    assert (reply["name"], reply["at"], reply["stops"]) == (
        "Joe", "2026-01-31T00:00:00Z", [{"city": "Bonn", "zip_code": 0}],
    )  # fmt: skip


def test_the_request_comes_from_stdin(user, everything):
    done = user.micro("everything", "echo", "--json", "-", "--loud", stdin='{"name":\n"Joe"}\n')
    assert (json.loads(done.stdout)["name"], json.loads(done.stdout)["loud"]) == ("Joe", True)


def test_bytes_come_from_stdin(user, everything):
    done = user.micro("everything", "echo", "--data", "@-", stdin="hi")
    assert json.loads(done.stdout)["data"] == "aGk="


def test_a_stream_that_fails_ends_the_command_though_stdin_is_open(user, everything):
    process = subprocess.Popen(
        [*MICRO, "stream", "everything", "Everything.Break", "-"],
        env=user.env, cwd=user.home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.wait(20) == 128
    assert process.stderr.read() == "error receiving from everything.Everything.Break: it broke\n"
    process.stdin.close()


def test_a_stream_of_answers_is_one_document_a_message(user, everything):
    done = user.micro("everything", "thrice", "--name=Joe", "--output", "raw")
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["Joe"] * 3


def test_a_stream_of_requests_is_one_document_a_line_of_stdin(user, everything):
    lines = '{"name": "a"}\n\n{"name": "b"}'
    assert json.loads(user.micro("everything", "last", stdin=lines).stdout)["name"] == "b"
    assert json.loads(user.micro("everything", "last", "--json={}", '--json={"name": "c"}').stdout)["name"] == "c"
    assert json.loads(user.micro("everything", "last", "--name=d").stdout)["name"] == "d"


def test_a_bidirectional_stream_answers_each_line_before_the_next_is_written(user, everything):
    process = subprocess.Popen(
        [*MICRO, "everything", "each", "--output=raw"],
        env=user.env, cwd=user.home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for name in ("a", "b"):
        process.stdin.write(json.dumps({"name": name}) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["name"] == name
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("nonsense", "Invalid value for line 2 of stdin: Expecting value"),
        ("[]", "Invalid value for line 2 of stdin: [] is no JSON object"),
        ('{"nosuch": 1}', "The request is not a everything.Request: it has no field nosuch, but name, "),
    ],
)
def test_a_bad_line_ends_the_stream_and_is_named(user, everything, line, text):
    for method in ("last", "each"):
        done = user.micro("everything", method, stdin=f'{{"name": "a"}}\n{line}\n')
        assert done.returncode != 0
        assert text in done.stderr
        assert "Traceback" not in done.stderr
    assert method == "each"


def test_help_has_types_and_the_words_of_the_proto(user, everything):
    whole = user.micro("everything", "--help").stdout
    assert "DESCRIPTION:\n\tSends everything back.\n\nCOMMANDS:\n" in whole
    assert "\n\teach     Answers each message as it comes.\n\techo     Answers with the request.\n" in whole
    done = user.micro("everything", "echo", "--help")
    assert done.returncode == 0
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines() if line.strip()}
    assert "Nothing is left out." in done.stdout
    assert lines["--name"] == "string Who is meant."
    assert lines["--colour"] == "Colour One of COLOUR_UNKNOWN, COLOUR_RED, COLOUR_DARK_GREEN."
    assert lines["--labels"] == "map[string]string"
    assert lines["--stops"] == "[]Place"
    assert lines["--home_zip_code"] == "int32"
    assert lines["--chain_next"] == "Node"
    assert lines["--at"] == "timestamp"
    assert lines["--email"] == "string At most one of the contact flags."
    assert lines["--nickname"] == "string"
    assert "json" in lines["--json"]


def test_help_of_a_stream_says_how_its_messages_are_given(user, everything):
    assert "one JSON object a line on stdin" in user.micro("everything", "last", "--help").stdout
    assert "each message is printed as it comes" in user.micro("everything", "thrice", "--help").stdout


def test_docstrings_of_the_framework_are_in_the_help(user, helloworld, start, sidecar):
    assert "\tcall   Greets by name.\n" in user.micro("helloworld", "--help").stdout + "\n"
