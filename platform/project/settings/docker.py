"""The Docker engine: where it is, what a container may use, what builds start from."""

from __future__ import annotations

from project import env

MICRO_DOCKER_HOST = env.text("MICRO_DOCKER_HOST", "")  # blank: the machine's own socket
MICRO_DOCKER_SUBNETS = env.words("MICRO_DOCKER_SUBNETS", "10.201.0.0/16")  # each namespace's network is a /26 of these
MICRO_DOCKER_DNS = env.words("MICRO_DOCKER_DNS")  # blank: the engine's own choice
MICRO_DOCKER_DOOR = env.text(
    "MICRO_DOCKER_DOOR", ""
)  # our address on the engine's default bridge; `micro server` finds it
MICRO_DOCKER_RUNTIME = env.text("MICRO_DOCKER_RUNTIME", "")  # such as runsc, where it is installed
MICRO_REPLICA_MEMORY_MIB = env.number("MICRO_REPLICA_MEMORY_MIB", 512)
MICRO_REPLICA_CPUS = env.number("MICRO_REPLICA_CPUS", 1)
MICRO_REPLICA_PIDS = env.number("MICRO_REPLICA_PIDS", 256)
MICRO_BUILD_MEMORY_MIB = env.number("MICRO_BUILD_MEMORY_MIB", 2048)
MICRO_BUILD_DISK_GIB = env.number("MICRO_BUILD_DISK_GIB", 5)  # of the engine's disk, while one build runs
MICRO_BUILD_CACHE_GIB = env.number("MICRO_BUILD_CACHE_GIB", 10)  # of layers that builds of all namespaces find again

MICRO_BASE_IMAGES = {
    "python": env.text("MICRO_IMAGE_PYTHON", "python:3.11-slim"),
    "node": env.text("MICRO_IMAGE_NODE", "node:20-slim"),
    "go": env.text("MICRO_IMAGE_GO", "golang:1.24-bookworm"),
    "plain": env.text("MICRO_IMAGE_PLAIN", "debian:bookworm-slim"),
    "static": env.text("MICRO_IMAGE_STATIC", "nginx:stable-bookworm"),
}
# Steps of a build then reach whatever this machine reaches, loopback included: for a trusted user's own machine only.
MICRO_UNSAFE_BUILD_HOST_NETWORK = env.flag("MICRO_UNSAFE_BUILD_HOST_NETWORK", default=False)
