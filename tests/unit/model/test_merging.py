"""Merge patches, leaf by leaf: what one changes, and that it is put back to the last value."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopgap.model.merging import MISSING, at, changed, difference, kept, merged, restored, same, told

SPEC = {"a": {"b": 1, "l": [1, 2]}, "s": "x"}


@pytest.mark.parametrize(
    ("patch", "after", "paths"),
    [
        pytest.param({"a": {"b": 2}}, {"a": {"b": 2, "l": [1, 2]}, "s": "x"}, ["a.b"], id="one value"),
        pytest.param({"a": {"l": [3]}}, {"a": {"b": 1, "l": [3]}, "s": "x"}, ["a.l"], id="a list as a whole"),
        pytest.param({"a": None}, {"s": "x"}, ["a"], id="removed"),
        pytest.param({"n": {"o": {"p": 1}}}, {**SPEC, "n": {"o": {"p": 1}}}, ["n.o.p"], id="new maps"),
        pytest.param({"s": {"t": 1}}, {"a": SPEC["a"], "s": {"t": 1}}, ["s"], id="a map in place of a word"),
        pytest.param({"a": "y"}, {"a": "y", "s": "x"}, ["a"], id="a word in place of a map"),
        pytest.param({"a": {}, "s": "x", "gone": None}, SPEC, [], id="nothing"),
        pytest.param({"e": {}}, {**SPEC, "e": {}}, ["e"], id="an empty map"),
        pytest.param({"a": {"b": True}}, {"a": {"b": True, "l": [1, 2]}, "s": "x"}, ["a.b"], id="true is not 1"),
    ],
)
def test_what_a_patch_changes_is_known_and_undone(patch: dict[str, Any], after: dict[str, Any], paths: list[str]) -> None:
    leaves = changed(SPEC, patch)
    assert same(merged(SPEC, patch), after)
    assert [".".join(one.path) for one in leaves] == paths
    assert same(restored(after, leaves), SPEC)


def test_maps_that_were_made_stay_where_somebody_put_something_else_in() -> None:
    leaves = changed({}, {"n": {"o": {"p": 1}}})
    assert restored({"n": {"o": {"p": 1}, "theirs": 2}}, leaves) == {"n": {"theirs": 2}}
    assert restored({"n": {"o": {"p": 1}}}, changed({"n": {}}, {"n": {"o": {"p": 1}}})) == {"n": {}}


json = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.text("xyz", max_size=2) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abcd"), json, max_size=3)
nested = st.recursive(json | st.none(), lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3), max_leaves=6)
patches = st.dictionaries(st.sampled_from("abcd"), nested, max_size=3)


@given(objects, patches)
def test_whatever_is_patched_is_put_back_exactly(body: dict[str, Any], patch: dict[str, Any]) -> None:
    leaves = told(kept(changed(body, patch)))
    after = merged(body, patch)
    assert all(same(at(after, leaf.path), leaf.ours) for leaf in leaves)
    before = deepcopy(after)
    assert same(restored(after, leaves), body)
    assert same(after, before)


@given(objects, objects)
def test_a_difference_leads_from_one_to_the_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert same(merged(one, difference(one, other)), other)


def test_nothing_is_not_null() -> None:
    assert not same(MISSING, None)
    assert same(MISSING, MISSING)
