"""Claims about paths of the server in what tenants read: relative to their source, or not at all."""

from __future__ import annotations

import sys
from uuid import uuid4

import pytest

from runtime import folders, logfiles, paths


@pytest.fixture
def source(home):
    return folders.build("acme", uuid4()) / "source"


def test_a_path_of_the_source_is_shown_as_below_it(source):
    assert paths.shown(f'  File "{source}/shop/main.py", line 3') == '  File "shop/main.py", line 3'
    assert paths.shown(f"in {source}: no such file") == "in .: no such file"
    assert paths.shown(f"file://{source}/index.js:1") == "file://index.js:1"


def test_no_other_path_of_the_server_is_shown_whole(source, home, settings):
    environment = folders.environments("acme") / "0123456789abcdef0123-01234567"
    texts = {
        f"{environment}/lib/python3.11/site-packages/x.py": "environment/lib/python3.11/site-packages/x.py",
        f"{folders.environments('acme')}/uv/wheels-v5/x": "cache/wheels-v5/x",
        f"{folders.cache('acme')}/npm/_logs/x.log": "cache/npm/_logs/x.log",
        f"{source.parent}/scratch/tmp1": "~/tmp1",
        f"{home}/secret_key": "…/secret_key",
        f"{sys.prefix}/bin/python": "…/bin/python",
        f"{sys.base_prefix}/lib/python3.11/json.py": "…/lib/python3.11/json.py",
        f"{settings.MICRO_RUN}/postgres": "…/postgres",
        f"{settings.ROOT}/platform/micro": "…/platform/micro",
    }
    assert {text: paths.shown(text) for text in texts} == texts


@pytest.mark.parametrize("text", ["/usr/bin/env", "/app/main.py", "/var/x", "nothing", "", "a/builds/b/source/c"])
def test_what_says_nothing_about_the_server_stays(text, home):
    assert paths.shown(text) == text


def test_a_path_through_a_link_is_found_as_well(tmp_path, settings):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    settings.MICRO_HOME = tmp_path / "link"
    for home in (tmp_path / "link", tmp_path / "real"):
        assert paths.shown(f"{home}/builds/acme/{uuid4()}/source/main.py") == "main.py"


def test_a_published_log_holds_none(source, home):
    log = folders.build_log("acme", uuid4(), uuid4())
    log.write_bytes(b"\xff" + f"cd {source}/x\n{home}/secret_key\n".encode())
    file = logfiles._File.open(log)
    ((_, text),) = file.batches(file.pending())
    assert text == b"\xff" + "cd x\n…/secret_key".encode()
