"""Hostile archives."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from micro.errors import Error
from runtime.sources import archives, tree


def member(name: str, **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def pack(path: Path, *members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], **options: object) -> Path:
    with tarfile.open(path, "w", **options) as tar:
        for entry in members:
            info, content = entry if isinstance(entry, tuple) else (entry, b"")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


SYMLINK = {"type": tarfile.SYMTYPE, "linkname": "/etc"}
HOSTILE = {
    "parent": [member("../evil")],
    "parent inside": [member("a/../../evil")],
    "absolute": [member("/etc/evil")],
    "drive": [member("C:evil")],
    "backslash": [member("..\\evil")],
    "control character": [member("a\nb")],
    "bidirectional override": [member("a\u202eb")],
    "symlink": [member("link", **SYMLINK)],
    "symlink, then through it": [member("d", **SYMLINK), (member("d/passwd"), b"x")],
    "inner symlink": [member("d", type=tarfile.SYMTYPE, linkname="x")],
    "hard link": [member("h", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
    "character device": [member("null", type=tarfile.CHRTYPE)],
    "block device": [member("disk", type=tarfile.BLKTYPE)],
    "fifo": [member("pipe", type=tarfile.FIFOTYPE)],
    "unknown type": [member("what", type=b"9")],
    "set-uid": [member("su", mode=0o4755)],
    "set-gid": [member("sg", mode=0o2755)],
    "twice": [(member("a"), b"1"), (member("a"), b"2")],
    "twice by unicode": [(member("caf\u00e9"), b"1"), (member("cafe\u0301"), b"2")],
    "file, then folder": [(member("a"), b"1"), (member("a/b"), b"2")],
    "folder, then file": [member("a", type=tarfile.DIRTYPE), (member("a"), b"2")],
    "long path": [member("/".join(["d" * 100] * 12))],
    "long segment": [member("d" * 300)],
    "deep": [member("/".join(["d"] * 200))],
    "blank name": [member("")],
    "pax size": [(member("a", pax_headers={"size": "99999999999"}), b"x")],
    "pax sparse": [(member("a", pax_headers={"GNU.sparse.realsize": "99999999999"}), b"x")],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written(case, tmp_path):
    archive = pack(tmp_path / "a.tar", (member("good"), b"x"), *HOSTILE[case])
    with pytest.raises(Error):
        archives.unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def forged(size_field: bytes) -> bytes:
    header = bytearray(member("a").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size_field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 512,
        b"not a tar file",
        gzip.compress(bytes(10240)),
        forged(b"\xff" * 12) + bytes(1024),  # -1
        forged(b"\xff" + b"\xff" * 10 + b"\x00") + bytes(1024),  # -256
        forged(b"\x80" + b"\x00" * 3 + b"\xff" * 8) + bytes(1024),
        forged(b"77777777777\0") + bytes(1024),
        forged(b"zzzzzzzzzzz\0") + bytes(1024),
    ],
    ids=["blank", "x", "text", "gzip", "minus one", "minus 256", "huge", "8 GiB", "no number"],
)
def test_what_is_no_plain_whole_tar_file_is_refused(content, tmp_path):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(Error):
        archives.unpack(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_limits_on_members_and_bytes_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 10)
    with pytest.raises(Error, match="more than 10 members"):
        archives.require_safe(pack(tmp_path / "a.tar", *(member(f"f{n}") for n in range(11))))
    monkeypatch.setattr(archives, "LARGEST_BYTES", 1000)
    with pytest.raises(Error, match="unpacks to more"):
        archives.require_safe(pack(tmp_path / "b.tar", (member("a"), b"x" * 1001)))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_honest_archive_is_unpacked_with_its_executable_bit(form, tmp_path):
    long = "d" * 80 + "/" + "e" * 80
    members = [
        member(".", type=tarfile.DIRTYPE, mode=0o755),
        member("sub", type=tarfile.DIRTYPE, mode=0o755),
        (member("sub/ümlaut ☃.txt"), "hällo".encode()),
        (member("run.sh", mode=0o755), b"#!/bin/sh\n"),
        (member(long), b"long"),
    ]
    archives.unpack(pack(tmp_path / "a.tar", *members, format=form), tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "ümlaut ☃.txt").read_text() == "hällo"
    assert (tmp_path / "out" / "run.sh").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "out" / long).read_bytes() == b"long"
    assert tree.size_bytes(tmp_path / "out") == 6 + 10 + 4
