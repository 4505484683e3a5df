"""What a hostile container tries: to reach what is not its own, to use more than it may, beside a neighbour."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psutil
import pytest
from containing import answers, text, until

from runtime.backends import firewall, networks

EVERYWHERE = "0.0.0.0"  # noqa: S104 - the worst that a server of ours could do
PROBE = """
import json, socket
found = {}
for name, (host, port) in json.loads(%r).items():
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(3)
        try:
            probe.connect((host, port))
            found[name] = "answered"
        except OSError as error:
            found[name] = type(error).__name__
print(json.dumps(found))
"""


@contextmanager
def listening(host: str, port: int) -> Iterator[list[str]]:
    """A listener of this machine, and the addresses from which it was reached."""
    seen: list[str] = []
    with closing(socket.create_server((host, port), reuse_port=True)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, peer = server.accept()
                except OSError:
                    return
                seen.append(peer[0])
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield seen
        server.shutdown(socket.SHUT_RDWR)


def addresses() -> list[str]:
    """This machine's own IPv4 addresses."""
    found = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET
    ]
    return sorted(found)


@pytest.fixture
def neighbour(backend, launch):
    """A container of another namespace that serves."""
    other = launch(namespace="victim")
    backend.start(other)
    until(lambda: answers(backend.endpoint(other.replica_id, None)))
    return other


def test_only_the_door_and_its_own_network_answer_a_container(backend, launch, neighbour, docker_engine, server):
    sibling = launch(index=1)
    backend.start(sibling)
    until(lambda: answers(backend.endpoint(sibling.replica_id, None)))
    own = networks.ensure(docker_engine, server, "acme", pools=())
    victim = networks.ensure(docker_engine, server, "victim", pools=())
    door = networks.engines_own(docker_engine)
    targets = {
        "door": (own.gateway, 28443),
        "sibling": backend.endpoint(sibling.replica_id, None),
        "victim": backend.endpoint(neighbour.replica_id, None),
        "metadata": ("169.254.169.254", 80),
        "metadata v6": ("fd00:ec2::254", 80),
        "docker api": (own.gateway, 2375),
        "postgres at the gateway": (own.gateway, 25432),
        "postgres at the victim's gateway": (victim.gateway, 25432),
        **{f"postgres at {address}": (address, 25432) for address in addresses() if not address.startswith("127.")},
        "nats": (own.gateway, 24222),
        "private": ("10.255.255.254", 80),
        "private 192": ("192.168.1.1", 80),
        "shared": ("100.64.0.1", 80),
        "loopback": ("127.0.0.1", 25432),
        "loopback v6": ("::1", 25432),
        "mail": ("1.1.1.1", 25),
    }
    attacker = launch(PROBE % json.dumps(targets))
    with (
        listening(EVERYWHERE, 25432) as postgres,
        listening(EVERYWHERE, 24222) as nats,
        listening(door, 28443) as front,
    ):
        backend.start(attacker)
        found = json.loads(until(lambda: text(attacker) if text(attacker).endswith("}\n") else "", within_s=90))
    assert {name for name, result in found.items() if result == "answered"} == {"door", "sibling"}
    assert (postgres, nats) == ([], [])
    assert len(front) == 1


def test_where_no_rules_can_be_written_the_backend_says_so_and_refuses_strangers(backend, launch, monkeypatch):
    def refuse(_wall):
        raise firewall.NotWritable("iptables: Permission denied")

    assert backend.refusal() == ""
    firewall.remove(backend._walls.wall)
    monkeypatch.setattr(firewall, "apply", refuse)
    assert "Permission denied" in backend.refusal()
    attacker = launch(PROBE % json.dumps({"postgres": ("172.17.0.1", 25432)}))
    with listening(EVERYWHERE, 25432) as postgres:
        backend.start(attacker)
        found = json.loads(until(lambda: text(attacker) if text(attacker).endswith("}\n") else ""))
    assert found == {"postgres": "answered"}  # what the rules are for, and proof that the probe can tell
    assert len(postgres) == 1


def test_the_rules_come_back_when_something_flushes_them(backend, launch, server):
    one = launch("import time; time.sleep(60)")
    backend.start(one)
    wall = backend._walls.wall
    assert wall
    firewall.remove(wall)
    assert not firewall.is_in_place(wall)
    until(lambda: backend.is_running(one.replica_id) and firewall.is_in_place(wall), within_s=6)


def test_a_raw_socket_and_a_spoofed_neighbour_cannot_be_made(backend, launch):
    script = (
        "import socket\n"
        "for kind in ((socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_PACKET, socket.SOCK_RAW, 0)):\n"
        "    try: socket.socket(*kind); print('made')\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )
    one = launch(script)
    backend.start(one)
    until(lambda: text(one) == "PermissionError\nPermissionError\n")


@contextmanager
def asked_all_the_while(endpoint) -> Iterator[list[float]]:
    """Requests to the endpoint, one after the other; how long each took in seconds. One that fails raises."""
    taken: list[float] = []
    errors: list[Exception] = []
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            began = time.monotonic()
            try:
                connection = http.client.HTTPConnection(*endpoint, timeout=5)
                connection.request("GET", "/")
                assert connection.getresponse().status == 200
                connection.close()
            except (OSError, AssertionError) as error:
                errors.append(error)
            taken.append(time.monotonic() - began)
            time.sleep(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield taken
    finally:
        stopping.set()
        thread.join()
    assert not errors, errors[:3]


FORK_BOMB = """
import os, time
refused = 0
while refused < 2000:
    try:
        if os.fork() == 0:
            time.sleep(100)
    except OSError:
        refused += 1
        time.sleep(0.001)
print("refused", flush=True)
time.sleep(100)
"""


def test_a_fork_bomb_is_limited_and_named(backend, launch, neighbour):
    bomb = launch(FORK_BOMB)
    with asked_all_the_while(backend.endpoint(neighbour.replica_id, None)) as taken:
        backend.start(bomb)
        until(lambda: "processes" in backend.trouble(bomb.replica_id), within_s=30)
        assert "refused" in until(lambda: text(bomb), within_s=30)
    assert max(taken) < 5
    backend.kill(bomb.replica_id)
    until(lambda: backend.is_gone(bomb.replica_id))


def test_a_memory_hog_is_killed_and_named(backend, launch, neighbour, settings):
    hog = launch("x = []\nwhile True: x.append(bytearray(16 << 20))")
    with asked_all_the_while(backend.endpoint(neighbour.replica_id, None)):
        backend.start(hog)
        until(lambda: backend.is_gone(hog.replica_id), within_s=30)
    assert "512 MiB of memory" in backend.last_words(hog.replica_id)


def test_a_worker_killed_for_memory_is_named_while_its_parent_runs_on(backend, launch):
    script = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    x = []\n"
        "    while True: x.append(bytearray(16 << 20))\n"
        "os.wait(); print('the child is gone', flush=True); time.sleep(100)\n"
    )
    parent = launch(script)
    backend.start(parent)
    until(lambda: "child is gone" in text(parent), within_s=30)
    assert backend.is_running(parent.replica_id)
    until(lambda: "memory" in backend.trouble(parent.replica_id))


def test_a_flood_of_output_is_cut_and_named(backend, launch, neighbour, docker_engine):
    flood = launch("import os\nlines = (b'x' * 1000 + b'\\n') * 60\nwhile True: os.write(1, lines)")
    with asked_all_the_while(backend.endpoint(neighbour.replica_id, None)) as taken:
        backend.start(flood)
        until(lambda: "slowed down" in backend.trouble(flood.replica_id), within_s=20)
        began, size = time.monotonic(), flood.log.stat().st_size
        time.sleep(10)
        grown = flood.log.stat().st_size - size
    assert "lines are left out" in text(flood)
    assert "prints more" in backend.trouble(flood.replica_id)
    assert grown / (time.monotonic() - began) < 600 << 10
    assert sorted(taken)[len(taken) // 2] < 0.5


def test_a_full_disk_is_the_containers_own(backend, launch):
    script = (
        "import itertools\n"
        "try:\n"
        "    with open('/tmp/fill', 'wb') as file:\n"
        "        for _ in range(1000): file.write(bytes(1 << 20))\n"
        "except OSError as error: print(error.errno)\n"
    )
    one = launch(script)
    backend.start(one)
    until(lambda: text(one) == "28\n")
