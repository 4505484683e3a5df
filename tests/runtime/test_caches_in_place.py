"""Claims about what builds in place keep for one another: within a namespace alone, up to a limit, and past no link."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest
from building import write_source
from deploying import hello

from micro.errors import FailedPrecondition
from runtime import builds, folders, housekeeping
from runtime.attempts import Attempt
from runtime.builds import environments
from runtime.models import Deployment

PROJECT = (
    '[project]\nname = "x"\nversion = "1"\n[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n'
)
# Leaves, where its environment comes to be, what the server might follow, and then fails.
PLANTING = """
import glob, os
def build_wheel(*args, **kwargs):
    for made in glob.glob(%r):
        for name in ("key.ready", "key.new", "key.overrides", os.path.basename(made) + ".new"):
            os.symlink("/etc/passwd", os.path.join(os.path.dirname(made), name))
        os.rename(made, made + "-away")
        os.symlink(%r, made)
    raise SystemExit("planted")
"""


def attempt_of(namespace: str, tmp_path: Path) -> Attempt:
    return Attempt(namespace, uuid4(), tmp_path / "build.log", lambda: True)


def build(attempt: Attempt, files: dict[str, str]) -> str:
    """The environment that is made for these files."""
    fetched = write_source(attempt.source, files)
    return builds.build(fetched, builds.plan(fetched), attempt).environment


def test_each_namespace_has_a_cache_of_its_own_that_environments_are_links_into(walls, tmp_path):
    files = {"main.py": "", "requirements.txt": "idna\n"}
    for namespace in ("acme", "other"):
        name = build(attempt_of(namespace, tmp_path), files)
        installed = folders.environments(namespace) / name
        linked = [path for path in installed.rglob("idna/*.py") if path.stat().st_nlink > 1]
        assert linked
        assert (folders.cache(namespace) / "uv").is_dir()
        assert not (folders.cache(namespace) / name).exists()
    assert {path.name for path in (folders.home() / "caches").iterdir()} == {"acme", "other"}


def test_what_a_build_leaves_beside_its_environment_is_followed_by_nobody(walls, tmp_path, home):
    victims = home / "environments" / "victim"
    planting = PLANTING % (str(folders.environments("acme") / "*-*"), str(victims))
    files = {"main.py": "", "pyproject.toml": PROJECT, "own.py": planting}
    with pytest.raises(FailedPrecondition, match="planted"):
        build(attempt_of("acme", tmp_path), files)
    assert list(folders.environments("acme").iterdir()) == []
    name = build(attempt_of("acme", tmp_path), {"main.py": ""})
    assert sorted(path.name for path in folders.environments("acme").iterdir()) == sorted([name, f"{name[:20]}.ready"])
    assert not any(path.is_symlink() for path in folders.environments("acme").iterdir())


def test_an_environment_that_became_a_link_is_refused(tmp_path):
    made, kept = tmp_path / "made", tmp_path / "kept"
    made.symlink_to("/etc")
    with pytest.raises(FailedPrecondition, match="something else"):
        environments._keep(made, kept)


@pytest.fixture
def filled(home, settings) -> Path:
    """A cache of 3 MiB where 2 may be."""
    settings.MICRO_CACHE_MIB = 2
    cache = folders.cache("micro")
    (cache / "packages").write_bytes(bytes(3 << 20))
    return cache


@pytest.mark.django_db
def test_a_cache_beyond_its_limit_is_given_up_and_removed_later(filled, settings):
    small = folders.cache("other")
    (small / "packages").write_bytes(b"x")
    housekeeping.give_up_caches()
    assert not filled.exists()
    assert (small / "packages").exists()
    (given_up,) = folders.unfinished().iterdir()
    housekeeping.remove_unfinished()
    assert given_up.exists()  # a build that began before may read it
    os.utime(given_up, (0, 0))
    housekeeping.remove_unfinished()
    assert not given_up.exists()


@pytest.mark.django_db(transaction=True)
def test_while_a_build_of_its_namespace_runs_it_may_grow_to_twice_that(filled, platform):
    deployment = platform.queue("web", hello("one"))
    Deployment.objects.in_namespace("micro").filter(pk=deployment.pk).update(state=Deployment.State.BUILDING)
    housekeeping.give_up_caches()
    assert filled.exists()
    (filled / "more").write_bytes(bytes(2 << 20))
    housekeeping.give_up_caches()
    assert not filled.exists()


@pytest.mark.django_db
def test_the_cache_of_all_namespaces_that_earlier_versions_had_goes(home):
    folders.made(home / "cache" / "uv")
    housekeeping.give_up_caches()
    assert not (home / "cache").exists()
