"""Claims about waiting for other processes."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from project.oneline import Formatter
from project.waiting import NotReady, wait_for


def test_waiting_ends_when_the_check_is_true_though_it_raised_before():
    answers = iter([ConnectionRefusedError("refused"), False, True])

    def check() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wait_for("Postgres", check, timeout=timedelta(seconds=5))
    assert next(answers, "none left") == "none left"


def test_waiting_in_vain_names_what_was_awaited_and_the_last_reason():
    def check() -> bool:
        raise ConnectionRefusedError("connection refused")

    with pytest.raises(NotReady, match=r"Waited 0\.05 s for Postgres: connection refused\."):
        wait_for("Postgres", check, timeout=timedelta(milliseconds=50))


def test_a_log_event_with_a_traceback_is_one_line():
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "f.py", 1, "went\nwrong", None, info)
    line = Formatter("%(message)s").format(record)
    assert "\n" not in line
    assert line.startswith("went ")
    assert "ValueError" in line
