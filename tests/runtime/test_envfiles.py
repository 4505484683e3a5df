"""Environment variables as people paste them."""

from __future__ import annotations

import pytest

from micro.errors import InvalidArgument
from runtime import envfiles


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("A=", ""),
        ("  A = b  ", "b"),
        ('A="two words"', "two words"),
        ("A='x#y'", "x#y"),
        ('A="postgres://u:p@h/db?x=1&y=2"', "postgres://u:p@h/db?x=1&y=2"),
        ("A=postgres://u:p@h/db?x=1&y=2#z", "postgres://u:p@h/db?x=1&y=2#z"),
        ("A=v # note", "v"),
        ('A="a\\nb"', "a\nb"),
        ("A='a\\nb'", "a\\nb"),
        ('A="-----BEGIN KEY-----\nabc==\n-----END KEY-----"\nB=1', "-----BEGIN KEY-----\nabc==\n-----END KEY-----"),
        ("export A=b", "b"),
        ("A=$HOME/${USER}", "$HOME/${USER}"),
        ("\ufeffA=b", "b"),
        ("# A=x\n\nA=b\n", "b"),
        ('A={"json": [1, 2]}', '{"json": [1, 2]}'),
    ],
)
def test_a_line_keeps_its_meaning(text, value):
    assert envfiles.read(text)["A"] == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A=1\nhush", "Line 2, 'hush', is not of the form NAME=value."),
        ('A="never closed', "Line 1, 'A', is not of the form NAME=value."),
        ("A=1\nB=2\nA=3", "Line 3: A is there twice."),
    ],
)
def test_a_line_that_is_no_variable_is_told_by_its_number_and_without_its_value(text, told):
    with pytest.raises(InvalidArgument) as refused:
        envfiles.read(text)
    assert refused.value.detail == told
