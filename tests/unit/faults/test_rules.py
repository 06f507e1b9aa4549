"""A request is understood as what it asks for, and a rule meets those it is about, counted."""

from typing import Any

import pytest

from tests.faults.rules import Call, Delay, Hang, Refuse, Rule, RuleBook, call_of

APPS = "/apis/apps/v1/namespaces/ns/deployments"
OURS = "/apis/aurora.io/v1alpha1/namespaces/ns/mldeployments"


@pytest.mark.parametrize(
    ("method", "path", "query", "content_type", "told"),
    [
        pytest.param("GET", APPS, {}, "", "list deployments", id="a collection"),
        pytest.param("GET", f"{APPS}/serve", {}, "", "get deployments serve", id="one object"),
        pytest.param("GET", APPS, {"watch": "1"}, "", "watch deployments", id="a watch"),
        pytest.param("POST", APPS, {}, "", "create deployments", id="its name is in the body"),
        pytest.param(
            "PATCH", f"{APPS}/serve", {}, "application/apply-patch+yaml", "apply deployments serve", id="apply"
        ),
        pytest.param(
            "PATCH",
            f"{OURS}/serve/status",
            {},
            "application/merge-patch+json",
            "patch mldeployments/status serve",
            id="a subresource",
        ),
        pytest.param("DELETE", "/api/v1/namespaces/ns/services/serve", {}, "", "delete services serve", id="the core"),
        pytest.param("GET", "/apis/aurora.io/v1alpha1/mlmodels", {}, "", "list mlmodels", id="of all namespaces"),
        pytest.param("GET", "/readyz", {}, "", "list", id="no resource"),
    ],
)
def test_a_request_in_the_words_of_the_api(
    method: str, path: str, query: dict[str, str], content_type: str, told: str
) -> None:
    assert str(call_of(method, path, query, content_type)) == told


def test_a_request_names_its_namespace() -> None:
    assert call_of("GET", f"{APPS}/serve", {}).namespace == "ns"
    assert call_of("GET", "/apis/apps/v1/deployments", {}).namespace == ""


@pytest.mark.parametrize(
    ("call", "is_write", "is_step"),
    [
        pytest.param(Call(verb="apply", resource="deployments"), True, True, id="a child"),
        pytest.param(Call(verb="patch", resource="mlmodels", subresource="status"), True, True, id="a status"),
        pytest.param(Call(verb="create", resource="events"), True, False, id="an Event"),
        pytest.param(Call(verb="update", resource="leases"), True, False, id="the Lease"),
        pytest.param(Call(verb="watch", resource="deployments"), False, False, id="a look"),
    ],
)
def test_only_writes_of_reconciles_are_steps(call: Call, is_write: bool, is_step: bool) -> None:
    assert (call.is_write, call.is_step) == (is_write, is_step)


CREATE = Call(verb="create", resource="jobs", namespace="ns", name="train-v1-1")


@pytest.mark.parametrize(
    ("given", "call", "is_met"),
    [
        pytest.param({}, CREATE, True, id="any"),
        pytest.param({"verb": "create", "resource": "jobs"}, CREATE, True, id="as given"),
        pytest.param({"verb": "delete"}, CREATE, False, id="another verb"),
        pytest.param({"resource": "pods"}, CREATE, False, id="another resource"),
        pytest.param({"name": "train-v2-1"}, CREATE, False, id="another name"),
        pytest.param({"namespace": "other"}, CREATE, False, id="another namespace"),
        pytest.param({"subresource": ""}, CREATE, True, id="the object itself"),
        pytest.param({"subresource": "status"}, CREATE, False, id="not its status"),
        pytest.param({"steps_only": True}, Call(verb="update", resource="leases"), False, id="no step"),
        pytest.param({"writes_only": True}, Call(verb="update", resource="leases"), True, id="a write all the same"),
        pytest.param({"writes_only": True}, Call(verb="list", resource="jobs"), False, id="no write"),
    ],
)
def test_a_rule_is_about_calls_that_are_as_given(given: dict[str, Any], call: Call, is_met: bool) -> None:
    assert Rule(action=Refuse(), **given).is_about(call) == is_met


def met(rule: Rule, calls: list[Call]) -> list[int]:
    """Which of the calls it acts on, from 1."""
    book = RuleBook()
    book.add(rule)
    return [number for number, call in enumerate(calls, start=1) if book.decide(call) is rule]


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        pytest.param({}, [1], id="the first, once"),
        pytest.param({"nth": 3}, [3], id="the third"),
        pytest.param({"nth": 2, "times": 2}, [2, 3], id="two from the second on"),
        pytest.param({"nth": 4, "times": None}, [4, 5, 6], id="from the fourth on for ever"),
        pytest.param({"every": 2, "times": None}, [1, 3, 5], id="every second"),
    ],
)
def test_a_rule_acts_on_the_calls_of_its_numbers(given: dict[str, Any], numbers: list[int]) -> None:
    assert met(Rule(action=Refuse(), **given), [CREATE] * 6) == numbers


def test_what_a_rule_is_not_about_is_not_counted() -> None:
    look = Call(verb="list", resource="jobs")
    assert met(Rule(action=Refuse(), steps_only=True, nth=2), [CREATE, look, look, CREATE]) == [4]


def test_calls_for_one_thing_after_the_other_can_be_counted_apart() -> None:
    other = Call(verb="create", resource="jobs", namespace="ns", name="train-v2-1")
    assert met(Rule(action=Refuse(), each=True), [CREATE, CREATE, other, other]) == [1, 3]


def test_the_first_rule_that_acts_decides_and_the_others_count_on() -> None:
    book = RuleBook()
    first, second = book.add(Rule(action=Delay(seconds=1))), book.add(Rule(action=Hang(), nth=2))
    assert [book.decide(CREATE) for _ in range(3)] == [first, second, None]
    assert book.fired == [(first, CREATE), (second, CREATE)]


def test_a_rule_that_was_removed_acts_no_more_and_begins_anew_when_added_again() -> None:
    book = RuleBook()
    rule = book.add(Rule(action=Refuse()))
    assert book.decide(CREATE) is rule
    book.remove(rule)
    assert book.decide(CREATE) is None
    book.add(rule)
    assert book.decide(CREATE) is rule
