"""`micro events` and `micro broker`, as a service account at a shell, with real tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from primitives.auth import operations
from primitives.auth import rpc as auth
from primitives.auth.tokens import Verifier
from primitives.broker import rpc as broker
from primitives.events import rpc as events
from tests.primitives.serving import Sidecar

pytestmark = pytest.mark.django_db

MICRO = Path(sys.executable).with_name("micro")


class Shell:
    def __init__(self, home: Path, address: str) -> None:
        self._env = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(__file__).parents[3] / "platform"),
            "MICRO_PROXY": address,
            "MICRO_NAMESPACE": "shop",
            "MICRO_AUTH_ID": "till",
            "MICRO_AUTH_SECRET": "secret",
        }

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(MICRO), *args],
            env=self._env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *args: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [str(MICRO), *args], check=False, env=self._env, input=stdin, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.fixture
def micro(nats, namespaces, _shop_and_rival, tmp_path, django_db_blocker):
    from concurrent.futures import ThreadPoolExecutor

    from transport.tenancy import _with_connections

    shop = _shop_and_rival[0]

    def make_account() -> None:
        operations.create_service_account(
            namespace=shop, id="till", secret="secret", service="till", grants=["events.*"]
        )

    with ThreadPoolExecutor() as thread:  # committed, not in the test's own transaction
        thread.submit(_with_connections, make_account).result()
    tables = {"auth": auth.METHODS, "events": events.METHODS, "broker": broker.METHODS}
    with Sidecar(tables, Verifier().identify).running() as sidecar:
        yield Shell(tmp_path, sidecar.address)


def test_events_are_published_read_and_consumed(micro):
    first = micro("events", "publish", "orders", '{"id":', "7}", "--metadata", "k=v").strip()
    micro("events", "publish", "orders", "-", stdin="from stdin")
    assert micro("events", "read", "orders") == '{"id": 7}\nfrom stdin\n'
    document = json.loads(micro("events", "read", "orders", "--limit=1", "--output=json"))
    assert (document["id"], document["metadata"], document["payload"]) == (first, {"k": "v"}, '{"id": 7}')
    assert micro("events", "consume", "orders", "--after=0", "-n=2") == '{"id": 7}\nfrom stdin\n'
    assert micro("events", "consume", "orders", "--group", "billing", "--after=0", "-n", "1") == '{"id": 7}\n'
    assert micro("events", "consume", "orders", "--group", "billing", "-n", "1") == "from stdin\n"
    assert micro("events", "groups") == "TOPIC\tGROUP\tWAITING\tUNACKNOWLEDGED\norders\tbilling\t0\t0\n"
    micro("events", "groups", "orders", "--delete=billing")
    assert micro("events", "groups") == ""


def test_a_consumer_prints_what_comes(micro):
    consumer = micro.start("events", "consume", "orders", "-n=2")
    deadline = time.monotonic() + 20
    while consumer.poll() is None and time.monotonic() < deadline:
        micro("events", "publish", "orders", "x")
    assert consumer.communicate(timeout=10)[0] == "x\nx\n"


def test_dead_letters_are_listed_redriven_and_deleted(micro):
    from micro import events as sdk
    from micro.client import Client

    assert micro("events", "dead") == ""
    client = Client(micro._env["MICRO_PROXY"], namespace="shop")
    client._identity = type("Till", (), {"access_token": lambda _self, _client: _token(client)})()
    micro("events", "publish", "orders", "bad")
    for _ in range(2):
        with sdk.consume("orders", group="billing", after=0, retries=0, client=client) as consumer:
            next(consumer).nack()
        deadline = time.monotonic() + 20
        while not (listed := micro("events", "dead", "orders", "--group=billing")):
            assert time.monotonic() < deadline
        assert listed.splitlines()[1].split("\t")[1:4] == ["orders", "billing", "1"]
        assert "bad" in listed
        micro("events", "dead", "orders", "--redrive")
    assert micro("events", "dead") == ""
    assert json.loads(micro("events", "groups").splitlines()[1].split("\t")[2]) == 1
    assert micro("events", "dead", "--delete", code=127) == "Say which dead letters: a topic, or ids.\n"


def _token(client):
    from micro import auth as sdk

    return sdk.token(id="till", secret="secret", client=client).access_token


def test_messages_are_published_and_printed(micro):
    subscriber = micro.start("broker", "subscribe", "news", "-n=1", "--output=json")
    deadline = time.monotonic() + 20
    while subscriber.poll() is None and time.monotonic() < deadline:
        micro("broker", "publish", "news", "hello", "--header", "K=v")
    document = json.loads(subscriber.communicate(timeout=10)[0])
    assert (document["body"], document["header"]["K"]) == ("hello", "v")


def test_what_cannot_be_is_said_in_a_sentence(micro):
    assert micro("events", "publish", "", "x", code=127) == "Missing topic\n"
    assert micro("events", "groups", "orders", "--delete=none", code=127) == "Topic 'orders' has no group 'none'.\n"
    assert micro("events", "nonsense", code=1).startswith("Unrecognized subcommand for micro events: nonsense.")
    assert micro("events", "publish", "t", "x", "--metadata=k", code=1) == "Say key=value, not k.\n"
