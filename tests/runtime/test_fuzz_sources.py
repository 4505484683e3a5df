"""Whatever a tenant's source or archive holds: it is read in bounded memory and time, or refused with a reason."""

# ruff: noqa: PT017 - what is not refused is right as well

from __future__ import annotations

import io
import random
import tarfile
import time
import tracemalloc
from pathlib import Path

import pytest

from micro.errors import Error, InvalidArgument
from runtime.builds import detect, manifests, procfile, protos, python
from runtime.sources import archives
from runtime.sources.archives import _LARGEST_PATHS, require_safe

PIECES = [
    "[project]\n",
    "dependencies = [",
    '"micro"',
    "]",
    "\n",
    "=",
    ".",
    "a",
    "web: x\n",
    "{",
    "}",
    '"scripts"',
    ":",
    "import micro",
    "\0",
    "\ufeff",
    "é",
    "(",
    ")",
    "'''",
    '"""',
    "\\",
    "module x\n",
    "=> ../",
    "-r requirements.txt\n",
    "-e .\n",
    "#",
    ",",
    "app =",
    "Flask()",
    "lockfileVersion: 99\n",
    "\r",
    "\t",
    "packageManager",
    "package main\n",
    "import (",
    "lambda:",
    "f'{",
    "🦀",
]
MANIFESTS = [
    "Procfile", "package.json", "requirements.txt", "pyproject.toml", "go.mod", "main.go", "main.py", "app.py",
    "manage.py", "yarn.lock", "pnpm-lock.yaml", ".yarnrc.yml", "a.proto",
]  # fmt: skip


def test_any_manifest_makes_a_plan_or_a_reason(tmp_path):
    chance = random.Random(2)  # noqa: S311 - the same files in every run
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in chance.sample(MANIFESTS, chance.randint(1, 4)):
            text = "".join(chance.choices(PIECES, k=chance.randint(0, 60)))
            (folder / name).write_text(text, errors="surrogateescape", newline="")
        try:
            assert detect.detect(folder).language
        except InvalidArgument as error:
            assert error.detail


EXPLOSIVE = {
    "f-strings": ("app.py", 'x = f"' + "{a}" * 330_000 + '"\n'),
    "a list": ("app.py", "x = [" + "a," * 520_000 + "]\n"),
    "minus signs": ("app.py", "x = " + "-" * 1_000_000 + "1\n"),
    "an attribute of an attribute": ("app.py", "app = a" + ".a" * 300_000 + "()\n"),
    "dotted keys": ("pyproject.toml", ".".join("a" * 500_000) + " = 1\n"),
    "nested arrays": ("pyproject.toml", "a = " + "[" * 900_000),
    "nested json": ("package.json", "[" * 1_000_000),
    "a large manifest": ("go.mod", "module x\n" * 1_000_000),
}


@pytest.mark.parametrize("case", EXPLOSIVE)
def test_a_file_that_explodes_in_a_parser_takes_none_of_our_memory(case, tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "PATIENCE_S", 5)
    name, text = EXPLOSIVE[case]
    (tmp_path / name).write_text(text)
    (tmp_path / "main.py").write_text("print(1)\n")
    began = time.monotonic()
    tracemalloc.start()
    try:
        detect.detect(tmp_path)
    except InvalidArgument as error:
        assert name in error.detail
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30 << 20
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("name", [*MANIFESTS[:9], "yarn.lock", ".yarnrc.yml"])
@pytest.mark.parametrize(
    "target", ["/proc/kmsg", "/proc/kcore", "/proc/self/environ", "/etc/passwd", "/dev/zero", "loop"]
)
def test_a_link_out_of_the_source_is_not_followed(name, target, tmp_path):
    (tmp_path / "package.json").write_text('{"scripts": {"start": "x"}}')
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to(name if target == "loop" else target)
    try:
        plan = detect.detect(tmp_path)
    except InvalidArgument as error:
        assert "root:" not in error.detail
        assert "no plain file" in error.detail or "nothing to run" in error.detail or "package main" in error.detail
    else:
        assert "root" not in repr(plan)


def test_python_files_are_looked_at_by_a_program_of_its_own(tmp_path):
    (tmp_path / "main.py").write_text("from micro import Service\n")
    (tmp_path / "app.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    found = python.Findings.of(manifests.look(Path(python.__file__), tmp_path))
    assert found == python.find(tmp_path)
    assert (found.uses_micro, found.main_uses_micro) == (True, True)
    assert found.application
    assert found.application.target == "app:app"


def test_protos_that_import_a_bomb_say_nothing(tmp_path):
    (tmp_path / "bomb.proto").write_text(
        'syntax = "proto3";\n' + "".join(f"message M{n} {{}}\n" for n in range(400_000))
    )
    (tmp_path / "a.proto").write_text('syntax = "proto3";\nimport "bomb.proto";\n// Said.\nmessage A {}\n')
    assert len(protos.read(tmp_path)) < protos.LARGEST_BYTES


@pytest.mark.parametrize("text", ["", "web:", ": x", "web: a\nweb: b", "x: y\nz: w", "\0: \0", "é: x"])
def test_any_procfile_names_a_process_or_the_line_at_fault(text):
    try:
        assert procfile.read(text).line
    except InvalidArgument as error:
        assert "Procfile" in error.detail


# Archives.


def packed(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], **options: object) -> Path:
    with tarfile.open(path, "w", **options) as tar:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_any_garbled_archive_is_unpacked_below_its_folder_or_refused(tmp_path):
    chance = random.Random(6)  # noqa: S311 - the same bytes in every run
    good = packed(
        tmp_path / "good.tar",
        [(tarfile.TarInfo(name), b"x" * 700) for name in ("a", "b/c", "d" * 150, "b/é")],
        format=tarfile.PAX_FORMAT,
    ).read_bytes()
    for number in range(300):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        archive, out = tmp_path / "bad.tar", tmp_path / f"out{number}"
        archive.write_bytes(bad)
        try:
            archives.unpack(archive, out)
        except Error as error:
            assert error.detail
    inside = {path.name for path in tmp_path.iterdir()}
    assert inside <= {"good.tar", "bad.tar", *(f"out{number}" for number in range(300))}


def test_an_archive_of_deep_paths_makes_no_more_folders_than_files_are_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 500)
    deep = [(tarfile.TarInfo("/".join([f"n{n}", *["d"] * 90, "f"])), b"") for n in range(20)]
    with pytest.raises(Error, match="members and folders"):
        archives.unpack(packed(tmp_path / "a.tar", deep), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_extended_headers_are_let_go_of_member_by_member(tmp_path):
    headers = {f"k{n}": "v" for n in range(4000)}
    members = []
    for number in range(30):
        info = tarfile.TarInfo(f"f{number}")
        info.pax_headers = headers
        members.append((info, b""))
    archive = packed(tmp_path / "a.tar", members, format=tarfile.PAX_FORMAT)
    del members
    tracemalloc.start()
    require_safe(archive)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20, "one header takes about 1 MB"


def test_global_headers_that_tarfile_would_carry_along_are_refused(tmp_path):
    archive = packed(
        tmp_path / "a.tar",
        [(tarfile.TarInfo("a"), b"")],
        format=tarfile.PAX_FORMAT,
        pax_headers={f"k{n}": "v" for n in range(4000)},
    )
    with pytest.raises(InvalidArgument, match="large global"):
        require_safe(archive)


def test_paths_have_a_length_together(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST_PATHS", 1000)
    assert _LARGEST_PATHS > 1000
    with pytest.raises(Error, match="paths"):
        require_safe(packed(tmp_path / "a.tar", [(tarfile.TarInfo(f"{n}" * 90), b"") for n in range(10, 30)]))
