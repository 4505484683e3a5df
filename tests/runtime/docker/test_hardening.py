"""What the engine says of a real container, row by row of what a tenant's container may have."""

from __future__ import annotations

from typing import Any

import pytest
from containing import text, until

from runtime.backends import containers
from runtime.backends.docker import Docker

MEBIBYTE = 1 << 20
HOST = {
    "CapDrop": ["ALL"],
    "CapAdd": None,
    "SecurityOpt": ["no-new-privileges:true"],
    "Privileged": False,
    "ReadonlyRootfs": True,
    "Tmpfs": {"/tmp": f"rw,noexec,nosuid,nodev,size={64 * MEBIBYTE},mode=1777"},  # noqa: S108 - the container's own
    "Binds": None,
    "VolumesFrom": None,
    "Devices": None,
    "DeviceRequests": None,
    "Memory": 512 * MEBIBYTE,
    "MemorySwap": 512 * MEBIBYTE,
    "CpuPeriod": 100_000,
    "CpuQuota": 100_000,
    "PidsLimit": 256,
    "ShmSize": 64 * MEBIBYTE,
    "OomScoreAdj": 500,
    "OomKillDisable": False,
    "PortBindings": None,
    "PublishAllPorts": False,
    "ExtraHosts": None,
    "Links": None,
    "GroupAdd": None,
    "PidMode": "",
    "IpcMode": "private",
    "UTSMode": "",
    "UsernsMode": "",
    "CgroupnsMode": "private",
    "CgroupParent": "",
    "Init": True,
    "Sysctls": None,
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
}
MASKED = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/sys/firmware"}
READ_ONLY = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}


@pytest.fixture
def inspected(backend: Docker, launch, docker_engine) -> dict[str, Any]:
    """The engine's answer about a container that serves."""
    one = launch()
    backend.start(one)
    until(lambda: text(one) == "up\n")
    return dict(docker_engine.api.inspect_container(containers.name(one)))


def test_the_engine_holds_a_container_to_every_row(inspected, server):
    host = inspected["HostConfig"]
    found = {key: host.get(key) or None if HOST[key] is None else host[key] for key in HOST}
    assert found == HOST
    assert {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]} == {
        "nofile": (4096, 4096),
        "core": (0, 0),
    }
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": str(10 * MEBIBYTE), "max-file": "3", "mode": "non-blocking"},
    }
    assert set(host["MaskedPaths"]) >= MASKED
    assert set(host["ReadonlyPaths"]) >= READ_ONLY
    assert inspected["Config"]["User"] == "10001:10001"
    assert inspected["Config"]["StopSignal"] == "SIGTERM"


def test_a_container_is_on_its_namespaces_network_alone_with_no_mount_and_no_published_port(inspected, server):
    assert set(inspected["NetworkSettings"]["Networks"]) == {f"micro-{server}-acme"}
    assert not any((inspected["NetworkSettings"]["Ports"] or {}).values())
    assert inspected["Mounts"] == []


def test_no_label_of_a_container_holds_a_value_of_its_environment(inspected):
    assert "t0ken" in str(inspected["Config"]["Env"])
    assert "t0ken" not in str(inspected["Config"]["Labels"])
    assert "t0ken" not in str([inspected["Path"], *inspected["Args"]])


SIZES = """
import os, resource
print(*(os.statvfs(path).f_blocks * os.statvfs(path).f_frsize >> 20 for path in ("/tmp", "/dev/shm")))
print(*resource.getrlimit(resource.RLIMIT_NOFILE), *resource.getrlimit(resource.RLIMIT_CORE))
os.chmod(open("/tmp/run", "w").name, 0o755)
try: os.execv("/tmp/run", ["run"])
except OSError as error: print(type(error).__name__)
"""


def test_the_limits_hold_inside(backend, launch):
    one = launch(SIZES)
    backend.start(one)
    until(lambda: text(one) == "64 64\n4096 4096 0 0\nPermissionError\n")
