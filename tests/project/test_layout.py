"""The layout's own rules."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_folder_platform_is_a_source_root_and_hides_no_standard_module():
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert platform.python_version()
    script = "import sys; sys.path[:0] = ['.', 'platform']; import uuid, platform; print(platform.system())"
    assert subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
