"""A build whose engine goes away: it waits, and goes on when the engine is back; it does not wait for ever."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from building import write_source

from micro.errors import DeadlineExceeded, Unavailable
from runtime import builds
from runtime.attempts import Attempt
from runtime.backends import engine
from runtime.builds import images
from runtime.sources import Fetched


@pytest.fixture
def lost(monkeypatch) -> list[str]:
    """Has the first builds end as they do when the engine is killed under them; fill it with their last words."""
    words: list[str] = []
    original = Attempt.run

    def run(self, argv, **options):
        if not words:
            return original(self, argv, **options)
        with self.log.open("a") as log:
            log.write(f"Step 1/2 : FROM x\n{words.pop(0)}\n")
        return 1

    monkeypatch.setattr(Attempt, "run", run)
    return words


@pytest.fixture
def fetched(tmp_path) -> Fetched:
    return write_source(tmp_path / "source" / uuid4().hex, {"Dockerfile": 'FROM debian:bookworm-slim\nCMD ["true"]\n'})


@pytest.mark.parametrize(
    "said",
    ["unexpected EOF", "ERROR: ('Connection aborted.', BrokenPipeError(32, 'Broken pipe'))", "ERROR: failed: EOF"],
)
def test_a_build_goes_on_when_its_engine_is_back(server, attempt, fetched, lost, said):
    lost += [said, said]
    artifact = builds.build(fetched, builds.plan(fetched), attempt)
    assert artifact.image.startswith("sha256:")
    assert attempt.log.read_text().count("The Docker engine went away; going on when it answers.") == 2


def test_a_build_whose_image_was_removed_with_its_twin_is_made_again(server, attempt, fetched, lost):
    lost.append("failed to get digest sha256:d8a1: open /var/lib/docker/image/d8a1: no such file or directory")
    assert builds.build(fetched, builds.plan(fetched), attempt).image.startswith("sha256:")
    assert "An image of the same content was removed meanwhile; building again." in attempt.log.read_text()


def test_an_engine_that_goes_away_at_every_try_ends_it(server, attempt, fetched, lost):
    lost += ["unexpected EOF"] * images.MOST_TRIES
    with pytest.raises(Unavailable, match="again and again"):
        builds.build(fetched, builds.plan(fetched), attempt)


def test_the_builds_time_goes_on_while_the_engine_is_away(server, attempt, fetched, lost, monkeypatch):
    lost.append("unexpected EOF")
    monkeypatch.setattr(engine, "answers", lambda: False)

    def may_go_on() -> bool:
        raise DeadlineExceeded("too long")

    with pytest.raises(DeadlineExceeded):
        builds.build(fetched, builds.plan(fetched), replace(attempt, may_go_on=may_go_on))
