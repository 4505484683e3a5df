from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micro.errors import InvalidArgument
from primitives.config import document
from primitives.config.document import Leaf, Tree

KEYS = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def merged(existing: dict, value, path=()) -> dict:
    """The leaves after setting `value`."""
    new = dict(document.leaves(value, path))
    gone = document.displaced(existing, new)
    return {at: text for at, text in existing.items() if at not in gone} | new


def tree(leaves: dict) -> Tree:
    return Tree(1, {path: Leaf(text) for path, text in leaves.items()})


@given(VALUES)
def test_what_is_set_is_what_is_got(value):
    leaves = merged({}, document.parse(json.dumps(value)))
    assert json.loads(tree(leaves).text(())) == value


@given(VALUES, VALUES)
def test_a_tree_stays_a_tree_whatever_is_merged_into_it(first, second):
    leaves = merged(merged({}, document.parse(json.dumps(first))), document.parse(json.dumps(second)))
    paths = sorted(leaves)
    for path in paths:
        assert list(document.below(paths, path)) == [path], "nothing is below a leaf"
    assert json.loads(tree(leaves).text(())) == expected_merge(first, second)


def expected_merge(first, second):
    if not isinstance(second, dict):
        return second
    if not second:
        return {}  # as a leaf; the operation leaves an object with members alone before it comes here
    if not isinstance(first, dict):
        return second_without_merging(second)
    return first | {key: expected_merge(first.get(key), value) for key, value in second.items()}


def second_without_merging(second):
    return second


def test_numbers_stay_as_they_were_written():
    text = '{"a":1.10,"b":1E400,"c":123456789012345678901234567890,"d":-0}'
    assert document.encode(document.parse(text)) == text


def test_keys_are_sorted_and_html_is_left_alone():
    assert document.encode(document.parse('{"b": "<&>", "a": "é"}')) == '{"a":"é","b":"<&>"}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "nul", "NaN", "Infinity", "-Infinity", "'a'", '{"a":1,"a":2}', '"\\ud800"', '{"\\udfff": 1}'),
        *("[" * 100_000, '{"a":' * 50_000, "01", "1 2", "\ufeff1", '"\t"'),
    ],
)
def test_what_other_readers_would_read_differently_is_refused(text):
    with pytest.raises(InvalidArgument, match="Request is invalid JSON"):
        document.parse(text)


@pytest.mark.parametrize("path", ["x" * 1025, ".".join("a" * 33), "a\0b"])
def test_paths_have_limits(path):
    with pytest.raises(InvalidArgument, match="path"):
        document.parse_path(path)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("", "a", True), ("a", "a.b", True), ("a.b", "a", True), ("a.b", "a.bc", False), ("a.b", "a.c", False)],
)
def test_paths_overlap_when_one_leads_to_the_other(one, other, expected):
    assert document.overlap(document.parse_path(one), document.parse_path(other)) is expected


@pytest.mark.parametrize("number", ["9" * 301, "-" + "9" * 5000, "0." + "1" * 400])
def test_a_number_that_some_readers_cannot_take_is_refused(number):
    for text in (number, f'{{"a": [{number}]}}'):
        with pytest.raises(InvalidArgument, match="more than 300 digits"):
            document.parse(text)
