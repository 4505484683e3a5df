"""What a user's own Dockerfile declares, against a real engine: nothing of it gives more than a container may have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from containing import PYTHON, text, until

from micro.errors import InvalidArgument
from runtime import builds
from runtime.backends import containers
from runtime.builds import images
from runtime.sources import Fetched


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


@pytest.mark.parametrize("lines", ["VOLUME /proc\n", "VOLUME /dev/shm\n", "".join(f"VOLUME /v{n}\n" for n in range(17))])
def test_an_image_with_volumes_that_cannot_be_is_refused_and_does_not_stay(
    lines, server, tmp_path, attempt, docker_engine
):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "Dockerfile").write_text(f"FROM debian:bookworm-slim\n{lines}")
    fetched = Fetched(tmp_path / "source", "", "sha256:0")
    with pytest.raises(InvalidArgument, match="VOLUME"):
        builds.build(fetched, builds.plan(fetched), attempt)
    assert not docker_engine.images.list(filters={"reference": images.tag("acme", attempt.deployment_id)})
