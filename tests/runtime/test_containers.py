"""What the engine is told about a container, a network, a firewall and a Dockerfile: built purely, compared whole."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from itertools import islice
from pathlib import Path
from uuid import UUID

import pytest

from runtime.backends import Launch, containers, firewall, networks
from runtime.backends.containers import Image, Limits, Surroundings
from runtime.backends.outputs import Budget

TMP = "/tmp"  # noqa: S108 - a container's own
LAUNCH = Launch(
    replica_id=UUID(int=1),
    command=[],
    env={"PATH": "/x", "HOME": "/root", "PORT": "20000", "MICRO_SERVICE_ADDRESS": "127.0.0.1:20000", "A": "b"},
    folder=Path("/nowhere"),
    log=Path("/logs/1.log"),
    image="sha256:1",
    namespace="acme",
    service="web",
    deployment_id=UUID(int=2),
    index=3,
)
AROUND = Surroundings(server="abcdef", network="micro-abcdef-acme", proxy="10.201.0.1:8443")
IMAGE = Image("sha256:1")


def told(*, image: Image = IMAGE, around: Surroundings = AROUND, launch: Launch = LAUNCH) -> dict[str, object]:
    return containers.spec(launch, image, around)


ALWAYS = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "privileged": False,
    "read_only": True,
    "ipc_mode": "private",
    "cgroupns": "private",
    "init": True,
    "user": "10001:10001",
    "restart_policy": {"Name": "no"},
    "mem_limit": 512 << 20,
    "memswap_limit": 512 << 20,
    "cpu_period": 100_000,
    "cpu_quota": 100_000,
    "pids_limit": 256,
    "shm_size": 64 << 20,
    "blkio_weight": 300,
    "oom_score_adj": 500,
    "tmpfs": {TMP: f"rw,noexec,nosuid,nodev,size={64 << 20},mode=1777"},
    "network": "micro-abcdef-acme",
    "stop_signal": "SIGTERM",
    "name": f"acme-web-{UUID(int=2)}-3",
    "command": None,
}


@pytest.mark.parametrize("key", ALWAYS)
def test_every_container_is_told(key):
    assert told()[key] == ALWAYS[key]


@pytest.mark.parametrize(
    "key",
    [
        *("cap_add", "devices", "device_requests", "volumes", "mounts", "ports", "publish_all_ports", "pid_mode"),
        *("network_mode", "uts_mode", "userns_mode", "cgroup_parent", "sysctls", "group_add", "oom_kill_disable"),
        *("volumes_from", "links", "extra_hosts", "runtime", "storage_opt", "dns"),
    ],
)
def test_nothing_is_said_of(key):
    assert key not in told()


def test_a_declared_volume_is_memory_of_a_fixed_size():
    said = told(image=replace(IMAGE, volumes=("/data/", "var//lib/x", TMP, "/a/../b")))
    assert said["tmpfs"] == dict.fromkeys([TMP, "/data", "/var/lib/x", "/b"], ALWAYS["tmpfs"][TMP])


@pytest.mark.parametrize("volume", ["/", "/proc", "/sys/fs", "dev", "/x/../proc/1", "//dev/shm"])
def test_a_volume_over_the_root_or_what_the_kernel_shows_is_refused(volume):
    assert containers.refused_volume(replace(IMAGE, volumes=("/data", volume))) == volume
    assert containers.refused_volume(replace(IMAGE, volumes=("/data", "/process"))) == ""


def test_open_files_and_core_dumps_are_limited():
    limits = {limit.name: (limit.soft, limit.hard) for limit in told()["ulimits"]}
    assert limits == {"nofile": (4096, 4096), "core": (0, 0)}


def test_logs_are_bounded():
    assert told()["log_config"].config == {"max-size": str(10 << 20), "max-file": "3", "mode": "non-blocking"}


def test_what_the_operator_sets_is_passed_on():
    limits = Limits(memory_bytes=1, cpus=0.5, pids=7)
    said = told(around=replace(AROUND, limits=limits, runtime="runsc", dns=["10.0.0.2"], is_cgroup_private=False))
    assert (said["mem_limit"], said["cpu_quota"], said["pids_limit"]) == (1, 50_000, 7)
    assert (said["runtime"], said["dns"]) == ("runsc", ["10.0.0.2"])
    assert "cgroupns" not in said


def test_the_environment_is_the_services_own_as_it_is_inside():
    assert told()["environment"] == {
        "A": "b",
        "HOME": TMP,
        "PORT": "8080",
        "MICRO_SERVICE_ADDRESS": "0.0.0.0:8080",
        "MICRO_PROXY": "10.201.0.1:8443",
    }


def test_no_label_holds_a_value_of_the_environment():
    secret = replace(LAUNCH, env={"MICRO_AUTH_SECRET": "s3cret"})
    assert "s3cret" not in str(told(launch=secret)["labels"])


def listed(*names: str, **changed: str) -> dict[str, object]:
    labels = containers.labels(LAUNCH, IMAGE, AROUND) | {f"micro.{key}": value for key, value in changed.items()}
    return {"Id": "1", "Names": list(names), "Labels": labels}


def test_a_container_of_this_server_is_known_by_the_name_that_only_we_give():
    assert containers.is_ours(listed(f"/{containers.name(LAUNCH)}"), "abcdef")
    assert not containers.is_ours(listed(f"/{containers.name(LAUNCH)}"), "another")


@pytest.mark.parametrize(
    "attributes",
    [
        listed("/jolly_tesla"),
        listed(f"/{containers.name(LAUNCH)}", deployment="another"),
        listed(f"/{containers.name(LAUNCH)}x"),
        listed("/None-None-None-0"),
        listed(),
        {"Names": ["/jolly_tesla"], "Labels": {containers.SERVER: "abcdef"}},
        {"Names": None, "Labels": None},
    ],
)
def test_a_container_that_a_builder_made_is_not_ours_whatever_its_labels_say(attributes):
    assert not containers.is_ours(attributes, "abcdef")


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ("", "10001:10001"),
        ("root", "10001:10001"),
        ("root:users", "10001:10001"),
        ("0", "10001:10001"),
        ("0:0", "10001:10001"),
        ("00", "10001:10001"),
        ("+0", "10001:10001"),
        ("-0:0", "10001:10001"),
        ("1000", "1000"),
        ("1000:1000", "1000:1000"),
        ("node", "node"),
    ],
)
def test_an_image_runs_as_its_own_user_unless_that_is_root(named, given):
    assert told(image=replace(IMAGE, user=named))["user"] == given


@pytest.mark.parametrize(
    ("named", "is_name"), [("", False), ("root", False), ("7:7", False), ("node", True), ("toor:0", True)]
)
def test_a_name_may_be_roots_and_is_looked_at_once_it_runs(named, is_name):
    assert containers.names_a_user(replace(IMAGE, user=named)) is is_name


@pytest.mark.parametrize(
    ("exposed", "port"),
    [((), 8080), (("3000/tcp",), 3000), (("3000",), 3000), (("53/udp",), 8080), (("80/tcp", "443/tcp"), 8080)],
)
def test_an_image_that_exposes_one_port_is_given_that(exposed, port):
    assert told(image=replace(IMAGE, ports=exposed))["environment"]["PORT"] == str(port)


def test_what_an_inspection_says_of_an_image_is_read():
    config = {"User": "node", "ExposedPorts": {"3000/tcp": {}}, "Volumes": {"/data": {}}}
    answer = {"Id": "sha256:1", "Config": config}
    assert Image.of(answer) == Image("sha256:1", "node", ("3000/tcp",), ("/data",))
    assert Image.of({"Id": "sha256:2", "Config": None}) == Image("sha256:2")


def test_subnets_are_given_out_in_order_around_what_is_taken():
    taken = [IPv4Network("10.0.0.0/26"), IPv4Network("10.0.0.128/25")]
    found = list(islice(networks.free(["10.0.0.0/24", "10.9.0.0/26", "10.8.0.0/28"], taken), 5))
    assert [str(subnet) for subnet in found] == ["10.0.0.64/26", "10.9.0.0/26", "10.8.0.0/28"]


def test_a_bridge_has_a_name_that_an_interface_may_have():
    names = {networks.bridge("abcdef", f"namespace-{n}") for n in range(1000)}
    assert len(names) == 1000
    assert all(len(name) == 15 and name.startswith(networks.bridges("abcdef")) for name in names)


def test_a_network_has_its_own_bridge_and_no_ipv6():
    options = networks.options("abcdef", "acme", IPv4Network("10.0.0.64/26"))
    assert (options["internal"], options["enable_ipv6"]) == (False, False)
    assert options["ipam"]["Config"] == [
        {"Subnet": "10.0.0.64/26", "IPRange": None, "Gateway": "10.0.0.65", "AuxiliaryAddresses": None}
    ]


WALL = firewall.Wall(
    "abcdef", "mcabcdef", ["mcabcdef1234567"], 8443, ("172.17.0.1", 8443), ["10.0.0.2"], ["203.0.113.9"]
)


def rules(chain: str, wall: firewall.Wall = WALL) -> list[str]:
    start = f"-A MICRO-abcdef-{chain} "
    return [line.removeprefix(start) for line in firewall.restore(wall).splitlines() if line.startswith(start)]


def test_what_comes_to_this_machine_is_refused_but_for_answers_and_the_door():
    assert rules("IN") == [
        "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "-d 172.17.0.1 -p tcp --dport 8443 -j ACCEPT",
        "-j REJECT --reject-with icmp-admin-prohibited",
    ]


def test_without_a_door_nothing_of_this_machine_is_reached():
    wall = replace(WALL, door=None)
    assert not any("--dport" in rule for rule in rules("IN", wall))
    assert rules("DOOR", wall) == []


@pytest.mark.parametrize(
    "address", ["169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "203.0.113.9"]
)
def test_an_address_that_is_not_public_is_refused(address):
    assert f"-d {address} -j REJECT --reject-with icmp-admin-prohibited" in rules("OUT")


def test_a_network_may_talk_to_itself_and_to_name_servers_before_anything_is_refused():
    found = rules("OUT")
    allowed = [found.index(rule) for rule in found if rule.endswith("RETURN")]
    refused = [found.index(rule) for rule in found if "REJECT" in rule]
    assert max(allowed) < min(refused)
    assert "-i mcabcdef1234567 -o mcabcdef1234567 -j RETURN" in found
    assert "-d 10.0.0.2 -p udp --dport 53 -j RETURN" in found


def test_a_budget_lets_a_burst_through_and_then_its_rate():
    budget = Budget(rate=10, burst=100)
    assert budget.take(100, at=5)
    assert not budget.take(1, at=5)
    assert budget.take(10, at=6)
    assert not budget.take(11, at=7)
    assert budget.take(100, at=60)
    assert not budget.take(101, at=1000)
