"""What the platform's protos say, kept beside the generated code, which does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from micro import comments

SOURCES = Path(__file__).parents[2] / "platform"


def test_the_kept_comments_are_those_of_the_protos(tmp_path):
    protos = sorted(str(path.relative_to(SOURCES)) for path in (SOURCES / "micro" / "proto").glob("*.proto"))
    tool = [sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCES}", "--include_source_info"]
    subprocess.run([*tool, f"--descriptor_set_out={tmp_path}/set", *protos], check=True, cwd=SOURCES)
    described = FileDescriptorSet.FromString((tmp_path / "set").read_bytes())
    assert len(described.file) == len(protos)
    assert comments.as_json(described) == comments.OURS.read_text(), "Say `make proto`."
