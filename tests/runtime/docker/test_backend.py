"""The Docker backend against a real engine: start, adopt, stop, and what is printed."""

from __future__ import annotations

import json
from dataclasses import replace

from containing import PYTHON, answers, text, until

from project.server import backend as choice
from runtime.backends import containers, networks
from runtime.backends.docker import Docker, stop_everything


def test_a_container_starts_is_reached_and_stops(backend, launch):
    one = launch()
    backend.start(one)
    assert backend.is_running(one.replica_id)
    until(lambda: answers(backend.endpoint(one.replica_id, None)))
    until(lambda: text(one) == "up\n")
    backend.terminate(one.replica_id)
    until(lambda: backend.is_gone(one.replica_id))
    assert "15" in backend.last_words(one.replica_id)
    backend.forget(one.replica_id)
    assert one.replica_id not in backend.replica_ids()


def test_starting_twice_starts_once(backend, launch, docker_engine, server):
    one = launch()
    backend.start(one)
    backend.start(one)
    assert len(docker_engine.containers.list(filters={"label": f"{containers.SERVER}={server}"})) == 1


def test_another_runner_adopts_what_it_finds_and_loses_no_line(backend, launch):
    one = launch("import time\nfor n in range(60): print(n); time.sleep(0.1)")
    backend.start(one)
    until(lambda: "5\n" in text(one))
    for output in backend._outputs.values():
        output.stop()
    adopted = Docker()
    assert adopted.is_running(one.replica_id)
    until(lambda: "59\n" in text(one))
    lines = text(one).split()
    assert list(dict.fromkeys(lines)) == [str(n) for n in range(60)]


def test_the_end_of_a_container_wakes_the_runner(backend, launch):
    one = launch("import time; time.sleep(1.5); print('bye'); raise SystemExit(7)")
    backend.start(one)
    until(lambda: not backend.is_running(one.replica_id), within_s=5)
    assert backend.last_words(one.replica_id) == "ended with status 7"
    assert text(one) == "bye\n"


def test_the_last_container_of_a_namespace_takes_its_network_with_it(backend, launch, docker_engine, server):
    one, two = launch(), launch(index=1)
    backend.start(one)
    backend.start(two)
    name = f"micro-{server}-acme"
    backend.forget(one.replica_id)
    assert docker_engine.networks.list(names=[name])
    backend.forget(two.replica_id)
    assert not docker_engine.networks.list(names=[name])


def test_a_network_that_an_interrupted_stop_left_goes_at_the_next_start(server, docker_engine):
    networks.ensure(docker_engine, server, "gone", pools=["10.201.0.0/16"])
    assert Docker().replica_ids() == []
    assert not docker_engine.networks.list(names=[f"micro-{server}-gone"])


def test_stopping_everything_leaves_nothing_of_this_server_and_all_of_others(backend, launch, docker_engine, server):
    other = docker_engine.containers.run(PYTHON, "sleep 60", detach=True, labels={containers.SERVER: "another"})
    try:
        backend.start(launch())
        stop_everything()
        assert not docker_engine.containers.list(all=True, filters={"label": f"{containers.SERVER}={server}"})
        other.reload()
        assert other.status == "running"
    finally:
        other.remove(force=True)


PROBE = """
import json, os, pathlib
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
def writes(path):
    try:
        pathlib.Path(path).write_text("x")
        return True
    except OSError:
        return False
def mounts(word):
    return [line.split()[1] for line in open("/proc/mounts") if word in line]
print(json.dumps({
    "caps": [status[f"Cap{kind}"].strip() for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
    "no_new_privs": status["NoNewPrivs"].strip(),
    "seccomp": status["Seccomp"].strip(),
    "uid": os.getuid(),
    "root_writable": writes("/x") or writes("/app") or writes("/etc/x") or writes("/var/tmp/x"),
    "tmp_writable": writes("/tmp/x"),
    "tmp_flags": [line.split()[3] for line in open("/proc/mounts") if line.split()[1] == "/tmp"],
    "pid1": pathlib.Path("/proc/1/comm").read_text().strip(),
    "sockets": [path for path in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(path)],
    "devices": sorted(os.listdir("/dev")),
    "environment": dict(os.environ),
    "cgroup": pathlib.Path("/proc/self/cgroup").read_text(),
}))
"""


def test_a_container_is_given_what_it_may_have_and_nothing_else(backend, launch, docker_engine, server, settings):
    one = launch(PROBE)
    backend.start(one)
    found = json.loads(until(lambda: text(one) if text(one).endswith("}\n") else ""))
    assert found["caps"] == ["0000000000000000"] * 5
    assert (found["no_new_privs"], found["seccomp"]) == ("1", "2")
    assert found["uid"] == 10001
    assert not found["root_writable"]
    assert found["tmp_writable"]
    assert {"noexec", "nosuid", "nodev"} <= set(found["tmp_flags"][0].split(","))
    assert found["pid1"] in {"docker-init", "tini"}
    assert not found["sockets"]
    assert not {"sda", "vda", "kmsg", "mem", "kvm", "fuse"} & set(found["devices"])
    assert "docker" not in found["cgroup"]
    environment = found["environment"]
    assert environment["TOKEN"] == "t0ken"
    assert environment["MICRO_PROXY"].endswith(":28443")
    assert not {name for name in environment if "POSTGRES" in name or name.startswith(("DJANGO", "DATABASE", "NATS"))}
    host = docker_engine.api.inspect_container(containers.name(one))["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert (host["CpuQuota"], host["CpuPeriod"], host["PidsLimit"]) == (100_000, 100_000, 256)
    assert not host["PortBindings"]
    assert not host["Binds"]
    assert host["LogConfig"]["Config"]["max-size"]
    assert host["Init"] is True


REFUSED = """
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
calls = {"add_key": 248, "keyctl": 250, "bpf": 321, "userfaultfd": 323, "perf_event_open": 298, "mount": 165,
         "finit_module": 313, "kexec_load": 246}
def refused(number, *arguments):
    ctypes.set_errno(0)
    return libc.syscall(number, *arguments) == -1 and ctypes.get_errno() in (1, 13, 38)
found = {name: refused(number, 0, 0, 0, 0, 0) for name, number in calls.items()}
found["unshare_user"] = refused(272, 0x10000000)
print(json.dumps(found))
"""


def test_system_calls_that_break_out_are_refused(backend, launch):
    one = launch(REFUSED)
    backend.start(one)
    found = json.loads(until(lambda: text(one) if text(one).endswith("}\n") else ""))
    assert [name for name, is_refused in found.items() if not is_refused] == []


def test_an_image_that_wants_root_does_not_get_it(backend, launch, docker_engine, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {PYTHON}\nUSER root\nEXPOSE 9000\n")
    image, _ = docker_engine.images.build(path=str(tmp_path), tag="micro-test-root:1", rm=True)
    try:
        one = launch("import os; print(os.getuid(), os.environ['PORT'])")
        backend.start(replace(one, image=str(image.id)))
        until(lambda: text(one) == "10001 9000\n")
        backend.forget(one.replica_id)
    finally:
        docker_engine.images.remove("micro-test-root:1", force=True)


def test_where_strangers_containers_share_the_kernel_the_server_says_so(server, settings):
    settings.MICRO_PROFILE = "platform"
    assert "MICRO_DOCKER_RUNTIME=runsc" in choice.shown()
    settings.MICRO_DOCKER_RUNTIME = "runsc"
    assert "MICRO_DOCKER_RUNTIME=runsc" not in choice.shown()
