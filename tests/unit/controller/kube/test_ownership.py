"""Names of children and the owner they point to."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aurora_controller.kube.meta import JOB
from aurora_controller.kube.ownership import child_name, controller_of, is_controlled_by, owner_reference

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,60}[a-z0-9])?", fullmatch=True)


def an_object(uid: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "housing", "namespace": "team", "uid": uid, **metadata}}


def test_a_short_name_is_the_parts_joined() -> None:
    assert child_name("housing", "v3", 1) == "housing-v3-1"


@given(NAMES, st.lists(NAMES, max_size=3))
def test_every_name_is_a_dns_label_of_at_most_63_characters(parent: str, parts: list[str]) -> None:
    name = child_name(parent, *parts)

    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert name == child_name(parent, *parts)


def test_long_names_that_differ_at_the_end_stay_different() -> None:
    assert child_name("a" * 63, "1") != child_name("a" * 63, "2")


def test_the_controller_is_the_owner_reference_that_says_so() -> None:
    owner = an_object("owner")
    other = {**owner_reference(an_object("other"), JOB), "controller": False}
    child = an_object("child", ownerReferences=[other, owner_reference(owner, JOB)])

    assert (controller_of(child) or {})["uid"] == "owner"
    assert is_controlled_by(child, owner)


def test_a_re_created_owner_of_the_same_name_does_not_own_the_old_children() -> None:
    child = an_object("child", ownerReferences=[owner_reference(an_object("before"), JOB)])

    assert not is_controlled_by(child, an_object("after"))


def test_deleting_the_owner_is_not_blocked_by_its_children() -> None:
    assert owner_reference(an_object("owner"), JOB)["blockOwnerDeletion"] is False
