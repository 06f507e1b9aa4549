"""When an apply can be left out, and when it cannot."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_controller.kube.intent import covers, stamped
from aurora_controller.kube.quantity import parse_quantity

HASH = "example.com/intent"


def resources(**limits: Any) -> dict[str, Any]:
    return {"resources": {"limits": limits}}


@pytest.mark.parametrize(
    ("existing", "intent"),
    [
        pytest.param({"a": 1, "defaulted": 2}, {"a": 1}, id="a field that the server added"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, id="a nested field that the server added"),
        pytest.param([{"a": 1, "protocol": "TCP"}], [{"a": 1}], id="a default inside an element of a list"),
        pytest.param({}, {"tolerations": []}, id="an empty list that the server dropped"),
        pytest.param({}, {"labels": {}}, id="an empty map that the server dropped"),
        pytest.param({}, {"a": None}, id="nothing, where nothing is wanted"),
        pytest.param(resources(cpu="1"), resources(cpu="1000m"), id="one cpu in millicpus"),
        pytest.param(resources(cpu="500m"), resources(cpu="0.5"), id="half a cpu"),
        pytest.param(resources(cpu="2"), resources(cpu=2), id="a quantity written as a number"),
        pytest.param(resources(memory="1Gi"), resources(memory="1024Mi"), id="a gibibyte in mebibytes"),
        pytest.param({"weight": 10}, {"weight": 10.0}, id="a whole number written as a fraction"),
        pytest.param(
            {"env": [{"name": "INJECTED", "value": "x"}, {"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "value": "1"}]},
            id="an element that somebody else added to an associative list",
        ),
    ],
)
def test_covered(existing: Any, intent: Any) -> None:
    assert covers(existing, intent)


@pytest.mark.parametrize(
    ("existing", "intent"),
    [
        pytest.param({"a": 2}, {"a": 1}, id="another value"),
        pytest.param({}, {"a": 1}, id="a field that is missing"),
        pytest.param({}, {"automountServiceAccountToken": False}, id="a missing field is not False"),
        pytest.param({"a": True}, {"a": 1}, id="true is not 1"),
        pytest.param({"port": "80"}, {"port": 80}, id="a name of a port is not its number"),
        pytest.param({"labels": {"version": "1"}}, {"labels": {"version": "1.0"}}, id="labels are not quantities"),
        pytest.param({"args": ["a", "b", "c"]}, {"args": ["a", "b"]}, id="an element too many in an atomic list"),
        pytest.param({"args": ["b", "a"]}, {"args": ["a", "b"]}, id="another order in an atomic list"),
        pytest.param(
            {"backendRefs": [{"name": "stable"}, {"name": "stranger"}]},
            {"backendRefs": [{"name": "stable"}]},
            id="a stranger's backend would get traffic",
        ),
        pytest.param(
            {"env": [{"name": "B", "value": "1"}]},
            {"env": [{"name": "A", "value": "1"}]},
            id="an element that is missing in an associative list",
        ),
        pytest.param(resources(cpu="2"), resources(cpu="1000m"), id="another amount"),
        pytest.param({"a": "text"}, {"a": {"b": 1}}, id="a value of another shape"),
    ],
)
def test_not_covered(existing: Any, intent: Any) -> None:
    assert not covers(existing, intent)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_everything_covers_itself(value: Any) -> None:
    assert covers(value, value)


def test_a_field_that_left_the_intent_is_noticed_by_the_hash() -> None:
    before = stamped({"metadata": {"annotations": {"weight": "10"}}, "spec": {}}, annotation=HASH)
    after = stamped({"metadata": {"annotations": {}}, "spec": {}}, annotation=HASH)

    assert not covers(before, after)


def test_the_stamp_depends_on_the_intent_alone_and_leaves_it_unchanged() -> None:
    intent = {"metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}}
    same = {"spec": {"y": 2, "x": 1}, "metadata": {"name": "a"}}

    assert stamped(intent, annotation=HASH) == stamped(same, annotation=HASH)
    assert intent["metadata"] == {"name": "a"}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.5", "0.5"),
        ("500m", "0.5"),
        ("1e3", "1000"),
        ("1E", "1e18"),
        ("1Ei", str(2**60)),
        ("100n", "1e-7"),
        ("-2k", "-2000"),
        (".5Gi", str(2**29)),
    ],
)
def test_quantities_are_read_as_the_api_server_reads_them(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "1gi", "1KI", "one", "1e"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)
