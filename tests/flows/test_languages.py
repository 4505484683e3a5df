"""Repositories in several languages become running processes, with the toolchains of this machine."""

from __future__ import annotations

import pytest
from languages import SOURCES


@pytest.mark.parametrize("name", ["express", "go", "static", "flask"])
def test_a_repository_in_any_language_becomes_a_running_process(name, server, git):
    files, words = SOURCES[name]
    git.commit(name, files)
    done = server.micro("run", git.url(name), check=False, timeout_s=300)
    if "which this machine does not have" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert server.get("/", host=f"{name}--micro.localhost").text.strip() == words
    if name == "static":
        assert server.get("/.env", host="static--micro.localhost").status_code == 404
    server.micro("kill", name)


def test_a_dockerfile_is_named_where_no_image_can_be_built(server, git):
    git.commit("boxed", SOURCES["dockerfile"][0])
    done = server.micro("run", git.url("boxed"), check=False)
    assert done.returncode == 1
    assert (
        "Found a Dockerfile, which needs the Docker backend: start the server with MICRO_BACKEND=docker." in done.stderr
    )
    server.micro("kill", "boxed")
