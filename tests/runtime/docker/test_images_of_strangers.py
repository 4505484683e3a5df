"""What a user's own Dockerfile declares, against a real engine: nothing of it gives more than a container may have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from building import write_source
from containing import PYTHON, text, until

from micro.errors import InvalidArgument
from runtime import builds
from runtime.backends import containers
from runtime.backends.docker import Docker, stop_everything
from runtime.builds import images


@pytest.fixture
def make_image(docker_engine, tmp_path) -> Iterator[Callable[[str], str]]:
    """Builds images of the lines of a Dockerfile after its FROM; they are removed afterwards."""
    tags = []

    def make(lines: str) -> str:
        (tmp_path / "Dockerfile").write_text(f"FROM {PYTHON}\n{lines}")
        tags.append(f"micro-test-{uuid4().hex}:1")
        image, _ = docker_engine.images.build(path=str(tmp_path), tag=tags[-1], rm=True)
        return str(image.id)

    yield make
    for tag in tags:
        docker_engine.images.remove(tag, force=True)


VOLUMES = """
import json
def fill(path):
    try:
        with open(path, "wb", buffering=0) as file:
            for n in range(200): file.write(bytes(1 << 20))
    except OSError as error:
        return [error.errno, n]
found = {path: fill(path + "/fill") for path in ("/data", "/var/lib/thing")}
kinds = {line.split()[1]: line.split()[2] for line in open("/proc/mounts")}
print(json.dumps([found, kinds["/data"], kinds["/var/lib/thing"]]))
"""


def test_a_declared_volume_is_bounded_memory_and_leaves_none_on_the_engine(make_image, backend, launch, docker_engine):
    image = make_image('VOLUME ["/data/", "/var/lib/thing"]\n')
    one = replace(launch(VOLUMES), image=image)
    backend.start(one)
    found = json.loads(until(lambda: text(one), within_s=60))
    assert found == [{"/data": [28, 64], "/var/lib/thing": [28, 64]}, "tmpfs", "tmpfs"]
    assert docker_engine.api.inspect_container(containers.name(one))["Mounts"] == []
    backend.forget(one.replica_id)


TOO_MANY = "".join(f"VOLUME /v{n}\n" for n in range(containers.MOST_VOLUMES + 1))


@pytest.mark.parametrize("lines", ["VOLUME /proc\n", "VOLUME /dev/shm\n", TOO_MANY])
def test_an_image_with_volumes_that_cannot_be_is_refused_and_does_not_stay(
    lines, server, tmp_path, attempt, docker_engine
):
    fetched = write_source(tmp_path / "source", {"Dockerfile": f"FROM debian:bookworm-slim\n{lines}"})
    with pytest.raises(InvalidArgument, match="VOLUME"):
        builds.build(fetched, builds.plan(fetched), attempt)
    assert not docker_engine.images.list(filters={"reference": images.tag("acme", attempt.deployment_id)})


def labelled(server: str, replica_id: object, log: object) -> str:
    """Lines of a Dockerfile that claim the labels of a container of ours."""
    claimed = {
        containers.SERVER: server,
        containers.REPLICA: replica_id,
        containers.NAMESPACE: "acme",
        containers.SERVICE: "web",
        containers.DEPLOYMENT: "nonsense",
        containers.LOG: log,
        containers.LISTENS: "nonsense",
    }
    return "".join(f"LABEL {name}={json.dumps(str(value))}\n" for name, value in claimed.items())


@pytest.mark.parametrize("is_nonsense", [True, False])
def test_labels_of_an_image_change_nothing_about_its_containers(is_nonsense, make_image, backend, launch, server):
    victim = launch(namespace="victim")
    backend.start(victim)
    labels = labelled("nonsense" if is_nonsense else server, "x" if is_nonsense else victim.replica_id, "/nowhere/log")
    one = replace(launch(), image=make_image(labels))
    backend.start(one)
    for runner in (backend, Docker()):
        assert set(runner.replica_ids()) == {victim.replica_id, one.replica_id}
        assert runner.is_running(one.replica_id)
    until(lambda: "up\n" in text(one))
    endpoints = {backend.endpoint(each.replica_id, None) for each in (victim, one)}
    assert len(endpoints) == 2
    stop_everything()


def test_a_container_of_a_builder_with_our_labels_is_neither_adopted_nor_followed_nor_stopped(
    make_image, backend, launch, server, docker_engine, tmp_path
):
    one, stolen = launch(), tmp_path / "stolen"
    backend.start(one)
    image = make_image(labelled(server, one.replica_id, stolen))
    script = ["python", "-u", "-c", "print('written by a stranger'); x = 'y' * (200 << 20)"]
    builders = docker_engine.containers.run(
        image, ["sleep", "600"], detach=True
    )  # named by the engine, as a build's are
    hungry = docker_engine.containers.run(image, script, detach=True, mem_limit=64 << 20, memswap_limit=64 << 20)
    try:
        hungry.wait(timeout=60)
        runners = (backend, Docker())
        for runner in runners:
            runner._is_stale.set()
            assert list(runner.replica_ids()) == [one.replica_id]
            assert runner.endpoint(one.replica_id, None)
            assert runner.trouble(one.replica_id) == ""
        later = launch(index=1)
        backend.start(later)
        backend.kill(later.replica_id)
        until(lambda: backend.is_gone(later.replica_id), within_s=8)  # it still hears the engine's events
        stop_everything()
        builders.reload()
        assert builders.status == "running"
        assert not stolen.exists()
    finally:
        builders.remove(force=True)
        hungry.remove(force=True)


def test_root_by_another_name_does_not_run_and_another_named_user_does(make_image, backend, launch, docker_engine):
    users = "RUN echo toor:x:0:0::/:/bin/sh >>/etc/passwd && echo app:x:1234:1234::/:/bin/sh >>/etc/passwd\n"
    one = replace(launch(), image=make_image(f"{users}USER toor\n"))
    with pytest.raises(OSError, match="USER toor is root by another name"):
        backend.start(one)
    assert not docker_engine.containers.list(all=True, filters={"name": containers.name(one)})
    two = replace(launch("import os, time; print(os.getuid()); time.sleep(60)"), image=make_image(f"{users}USER app\n"))
    backend.start(two)
    until(lambda: text(two) == "1234\n")
    backend.forget(two.replica_id)
