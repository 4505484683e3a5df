"""What is kept of the layers of builds, on a real engine."""

from __future__ import annotations

import pytest
from building import write_source

from runtime import builds, housekeeping
from runtime.builds import caches, images

MEBIBYTE = 1 << 20


@pytest.fixture
def left(server, tmp_path, attempt, docker_engine) -> int:
    """The bytes of the build cache after a build that left 40 MiB there."""
    if not images.buildkit_cli():
        pytest.skip("No docker command line with BuildKit is here: apt-get install docker.io, or docker-buildx.")
    step = "head -c 40M /dev/urandom >/x && rm /x; head -c 40M /dev/urandom >/y"
    base = "FROM debian:bookworm-slim"
    dockerfile = f"{base} AS first\nRUN {step}\n{base}\nCOPY --from=first /etc/hostname /\n"
    fetched = write_source(tmp_path / "source", {"Dockerfile": dockerfile})
    builds.build(fetched, builds.plan(fetched), attempt)
    return size(docker_engine)


def size(docker_engine) -> int:
    return sum(record["Size"] for record in docker_engine.df()["BuildCache"] if not record["Shared"])


def test_the_cache_of_builds_is_kept_up_to_its_limit_and_no_image_goes(left, settings, docker_engine, attempt):
    settings.MICRO_BUILD_CACHE_GIB = 1024
    caches.prune()
    assert size(docker_engine) >= left
    settings.MICRO_BUILD_CACHE_GIB = (left - 20 * MEBIBYTE) / caches.GIBIBYTE
    caches.prune()
    assert size(docker_engine) <= left - 20 * MEBIBYTE
    assert docker_engine.images.get(images.tag("acme", attempt.deployment_id))
    assert docker_engine.images.get("debian:bookworm-slim")


@pytest.mark.django_db(transaction=True)
def test_housekeeping_prunes_the_cache(left, settings, docker_engine):
    settings.MICRO_BUILD_CACHE_GIB = (left - 20 * MEBIBYTE) / caches.GIBIBYTE
    housekeeping.tidy()
    assert size(docker_engine) <= left - 20 * MEBIBYTE
