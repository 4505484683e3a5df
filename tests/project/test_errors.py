"""Claims about the one sentence that says why a process failed."""

from __future__ import annotations

from project.oneline import FOLD
from project.server.errors import reason


def test_of_a_folded_traceback_the_error_alone_is_told(tmp_path):
    log = tmp_path / "worker.log"
    folded = FOLD.join(["12:00 CRITICAL failed", "Traceback", '  File "x.py", line 1', "ValueError: It is no number."])
    log.write_text(f"12:00 INFO ready\n{folded}\n12:01 INFO bye\n")
    assert reason(log) == "ValueError: It is no number"


def test_of_a_log_without_an_error_the_last_line_is_told_and_nothing_from_before_the_start(tmp_path):
    log = tmp_path / "web.log"
    log.write_text("an OSError: of yesterday\n")
    start = log.stat().st_size
    assert reason(log, start) == ""
    log.write_text(log.read_text() + "going down.\n")
    assert reason(log, start) == "going down"
    assert reason(tmp_path / "none.log") == ""
