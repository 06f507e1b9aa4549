"""The smallest merge patch from one value to another."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_controller.kube.merge_patch import merge_patch

VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def patched(current: Any, patch: Any) -> Any:
    """What an API server makes of a merge patch (RFC 7386, section 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


@given(OBJECTS, OBJECTS)
def test_the_patch_leads_to_the_desired_value(current: Any, desired: Any) -> None:
    assert patched(current, merge_patch(current, desired)) == desired


@given(OBJECTS, OBJECTS)
def test_a_partial_patch_leads_to_the_desired_values_and_leaves_other_keys_alone(current: Any, desired: Any) -> None:
    assert patched(current, merge_patch(current, desired, partial=True)) == {**current, **desired}


@given(OBJECTS)
def test_equal_values_need_no_patch(value: Any) -> None:
    assert merge_patch(value, value) == {}


@pytest.mark.parametrize(
    ("current", "desired", "patch"),
    [
        pytest.param({"a": 1}, {"a": None}, {"a": None}, id="None removes"),
        pytest.param({}, {"a": None}, {}, id="None removes nothing that is not there"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}, id="a value given is complete"),
        pytest.param({"a": {"b": 1}, "x": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}, id="only what differs is sent"),
        pytest.param({"a": [1, 2]}, {"a": [2]}, {"a": [2]}, id="lists are replaced whole"),
        pytest.param({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": None}]}, {}, id="nulls in lists are what is not there"),
        pytest.param({"a": 1}, {"a": 1.0}, {}, id="1 and 1.0 are one number"),
        pytest.param({"a": 1}, {"a": True}, {"a": True}, id="1 and true are two values"),
    ],
)
def test_partial(current: Any, desired: Any, patch: Any) -> None:
    assert merge_patch(current, desired, partial=True) == patch


@pytest.mark.parametrize("current", [None, -1, "odd", ["odd"]])
def test_what_is_no_object_counts_as_an_empty_one(current: Any) -> None:
    assert merge_patch(current, {"a": 1, "b": None}, partial=True) == {"a": 1}
