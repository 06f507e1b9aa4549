"""What every API server promises that the controller builds on: run against the fake one, and against a real one.

A test module inherits ``ApiServerConformance`` and provides a fixture ``api``; for a real server, ``PROBE_CRD`` must be
installed and established, and the namespace exist and be empty.
"""

import asyncio
import base64
from collections.abc import Sequence
from contextlib import aclosing

import orjson
import pytest

from aurora_controller.kube.errors import (
    AlreadyExists,
    ApplyConflict,
    BadRequest,
    Conflict,
    Gone,
    Invalid,
    NamespaceTerminating,
    NotFound,
)
from aurora_controller.kube.meta import Manifest, is_deleting, uid_of
from aurora_controller.kube.resource_version import ordinal
from tests.shared.api_under_test import CONFIG_MAP, PROBE, UNSERVED, Api


class ApiServerConformance:
    # --- create, get, list

    async def test_a_new_object_has_identity_version_and_first_generation(self, api: Api) -> None:
        created = await api.client.create(PROBE, api.probe(size=1) | {"status": {"phase": "made up"}})
        metadata = created["metadata"]
        assert metadata["uid"]
        assert ordinal(metadata["resourceVersion"]) is not None
        assert metadata["creationTimestamp"].endswith("Z")
        assert metadata["generation"] == 1
        assert "status" not in created
        assert await api.client.get(PROBE, api.key("one")) == created

    async def test_a_name_can_be_taken_once(self, api: Api) -> None:
        await api.client.create(CONFIG_MAP, api.config_map())
        with pytest.raises(AlreadyExists):
            await api.client.create(CONFIG_MAP, api.config_map())

    async def test_an_object_needs_a_name(self, api: Api) -> None:
        nameless = api.config_map()
        nameless["metadata"]["name"] = ""
        with pytest.raises(Invalid):
            await api.client.create(CONFIG_MAP, nameless)

    async def test_what_is_not_there_is_not_found(self, api: Api) -> None:
        with pytest.raises(NotFound):
            await api.client.get(CONFIG_MAP, api.key("absent"))
        assert await api.client.get_or_none(CONFIG_MAP, api.key("absent")) is None

    async def test_a_kind_that_is_not_served_is_not_found(self, api: Api) -> None:
        with pytest.raises(NotFound):
            await api.client.list(UNSERVED, api.namespace)

    async def test_lists_tell_the_kind_of_their_items_and_the_version_they_are_of(self, api: Api) -> None:
        created = await api.client.create(CONFIG_MAP, api.config_map("mine", a="1"))
        listed = await api.client.list(CONFIG_MAP, api.namespace)
        mine = next(item for item in listed.items if item["metadata"]["name"] == "mine")
        assert mine == created
        assert _number(listed.resource_version) >= _version(created)

    @pytest.mark.parametrize(
        ("selector", "expected"),
        [
            ("color=red", ["a", "b"]),
            ("color==red,size=xl", ["b"]),
            ("color!=red,probe", ["c", "d"]),
            ("size", ["b", "c"]),
        ],
    )
    async def test_label_selectors_choose(self, api: Api, selector: str, expected: Sequence[str]) -> None:
        for name, labels in {
            "a": {"color": "red"},
            "b": {"color": "red", "size": "xl"},
            "c": {"color": "blue", "size": "xl"},
            "d": {},
        }.items():
            await api.client.create(CONFIG_MAP, api.config_map(name, labels={**labels, "probe": "yes"}))
        listed = await api.client.list(CONFIG_MAP, api.namespace, selector)
        assert [item["metadata"]["name"] for item in listed.items] == expected

    async def test_pages_are_of_one_moment(self, api: Api) -> None:
        for name in "abcde":
            await api.client.create(PROBE, api.probe(name))
        path, pages, params = PROBE.path(api.namespace), [], {"limit": "2"}
        while True:
            page = (await api.rest.request("GET", path, params=params)).json()
            pages.append(page)
            if len(pages) == 1:
                await api.client.create(PROBE, api.probe("bb"))
            if not page["metadata"].get("continue"):
                break
            params = {"limit": "2", "continue": page["metadata"]["continue"]}
        assert [[item["metadata"]["name"] for item in page["items"]] for page in pages] == [
            ["a", "b"],
            ["c", "d"],
            ["e"],
        ]
        assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1

    async def test_a_page_of_a_forgotten_version_is_gone(self, api: Api) -> None:
        for name in "ab":
            await api.client.create(PROBE, api.probe(name))
        path = PROBE.path(api.namespace)
        first = (await api.rest.request("GET", path, params={"limit": "1"})).json()
        place = orjson.loads(base64.urlsafe_b64decode(f"{first['metadata']['continue']}=="))
        long_ago = base64.urlsafe_b64encode(orjson.dumps({**place, "rv": 1})).decode().rstrip("=")
        with pytest.raises(Gone):
            await api.rest.request("GET", path, params={"limit": "1", "continue": long_ago})

    # --- update

    async def test_each_change_has_a_greater_version(self, api: Api) -> None:
        created = await api.client.create(CONFIG_MAP, api.config_map(a="1"))
        other = await api.client.create(CONFIG_MAP, api.config_map("two"))
        changed = await api.client.merge_patch(CONFIG_MAP, api.key("one"), {"data": {"a": "2"}})
        assert _version(created) < _version(other) < _version(changed)

    async def test_a_merge_patch_removes_replaces_and_leaves_alone(self, api: Api) -> None:
        await api.client.create(PROBE, api.probe(a=1, b={"c": 2, "d": 3}, steps=[1, 2]))
        patch = {"spec": {"a": None, "b": {"c": 4}, "steps": [9]}}
        patched = await api.client.merge_patch(PROBE, api.key("one"), patch)
        assert patched["spec"] == {"b": {"c": 4, "d": 3}, "steps": [9]}

    async def test_a_patch_that_changes_nothing_keeps_the_version(self, api: Api) -> None:
        created = await api.client.create(CONFIG_MAP, api.config_map(a="1"))
        patched = await api.client.merge_patch(CONFIG_MAP, api.key("one"), {"data": {"a": "1"}})
        assert _version(patched) == _version(created)

    async def test_an_outdated_version_is_a_conflict(self, api: Api) -> None:
        created = await api.client.create(CONFIG_MAP, api.config_map(a="1"))
        old = created["metadata"]["resourceVersion"]
        await api.client.merge_patch(CONFIG_MAP, api.key("one"), {"data": {"a": "2"}})
        with pytest.raises(Conflict):
            await api.client.replace(CONFIG_MAP, created)
        patch = {"metadata": {"resourceVersion": old}, "data": {"a": "3"}}
        with pytest.raises(Conflict):
            await api.client.merge_patch(CONFIG_MAP, api.key("one"), patch)

    async def test_another_uid_is_a_conflict(self, api: Api) -> None:
        created = await api.client.create(PROBE, api.probe())
        with pytest.raises(Conflict):
            await api.client.merge_patch(PROBE, api.key("one"), {"metadata": {"uid": _OTHER_UID}})
        created["metadata"]["uid"] = _OTHER_UID
        with pytest.raises(Conflict):
            await api.client.replace(PROBE, created)

    async def test_the_generation_counts_changes_of_the_spec(self, api: Api) -> None:
        await api.client.create(PROBE, api.probe(a=1))
        labelled = await api.client.merge_patch(PROBE, api.key("one"), {"metadata": {"labels": {"x": "y"}}})
        assert labelled["metadata"]["generation"] == 1
        changed = await api.client.merge_patch(PROBE, api.key("one"), {"spec": {"a": 2}})
        assert changed["metadata"]["generation"] == 2

    async def test_status_is_written_through_its_own_door_alone(self, api: Api) -> None:
        await api.client.create(PROBE, api.probe(a=1))
        both = {"spec": {"a": 2}, "status": {"phase": "Ready"}}
        ignored = await api.client.merge_patch(PROBE, api.key("one"), {"status": {"phase": "Ready"}})
        assert "status" not in ignored
        reported = await api.client.merge_patch(PROBE, api.key("one"), both, subresource="status")
        assert (reported["spec"], reported["status"]) == ({"a": 1}, {"phase": "Ready"})
        assert reported["metadata"]["generation"] == 1
        kept = await api.client.merge_patch(PROBE, api.key("one"), {"spec": {"a": 3}, "status": None})
        assert (kept["spec"], kept["status"]) == ({"a": 3}, {"phase": "Ready"})

    async def test_what_is_absent_has_no_status(self, api: Api) -> None:
        with pytest.raises(NotFound):
            await api.client.merge_patch(PROBE, api.key("absent"), {"status": {}}, subresource="status")

    # --- delete

    async def test_only_the_object_that_was_meant_is_deleted(self, api: Api) -> None:
        created = await api.client.create(CONFIG_MAP, api.config_map())
        with pytest.raises(Conflict):
            await api.client.delete(CONFIG_MAP, api.key("one"), uid=_OTHER_UID, propagation="Background")
        uid = uid_of(created)
        assert await api.client.delete(CONFIG_MAP, api.key("one"), uid=uid, propagation="Background") is None
        with pytest.raises(NotFound):
            await api.client.delete(CONFIG_MAP, api.key("one"), uid=uid, propagation="Background")

    async def test_a_finalizer_holds_an_object_until_it_is_removed(self, api: Api) -> None:
        held = api.probe()
        held["metadata"]["finalizers"] = ["conformance.aurora.io/hold"]
        created = await api.client.create(PROBE, held)
        deleted = await api.client.delete(PROBE, api.key("one"), uid=uid_of(created), propagation="Background")
        assert deleted is not None
        assert is_deleting(deleted)
        assert deleted["metadata"]["generation"] == 2
        await api.client.merge_patch(PROBE, api.key("one"), {"metadata": {"finalizers": None}})
        assert await api.client.get_or_none(PROBE, api.key("one")) is None

    async def test_nothing_new_comes_into_a_namespace_that_goes(self, api: Api) -> None:
        late = api.config_map()
        late["metadata"]["namespace"] = api.ending_namespace
        with pytest.raises(NamespaceTerminating):
            await api.client.create(CONFIG_MAP, late)
        with pytest.raises(NamespaceTerminating):
            await api.client.apply(CONFIG_MAP, late, field_manager="us")

    # --- server-side apply

    async def test_applying_the_same_intent_again_changes_nothing(self, api: Api) -> None:
        applied = await api.apply(api.probe(a=1))
        assert _version(await api.apply(api.probe(a=1))) == _version(applied)

    async def test_a_field_that_is_applied_no_more_is_removed(self, api: Api) -> None:
        await api.apply(api.probe(a=1, b=2))
        assert (await api.apply(api.probe(a=1)))["spec"] == {"a": 1}

    async def test_a_field_that_someone_else_owns_stays(self, api: Api) -> None:
        await api.apply(api.probe(a=1))
        await api.apply(api.probe(b=2), by="them")
        assert (await api.apply(api.probe(c=3)))["spec"] == {"b": 2, "c": 3}

    async def test_a_field_that_two_own_goes_with_the_last_of_them(self, api: Api) -> None:
        await api.apply(api.probe(a=1, b=2))
        await api.apply(api.probe(b=2), by="them")
        assert (await api.apply(api.probe(a=1)))["spec"] == {"a": 1, "b": 2}
        assert (await api.apply(api.probe(c=3), by="them"))["spec"] == {"a": 1, "c": 3}

    async def test_an_unforced_apply_does_not_take_what_another_owns(self, api: Api) -> None:
        await api.apply(api.probe(a=1))
        with pytest.raises(ApplyConflict):
            await api.apply(api.probe(a=2), by="them", force=False)

    async def test_a_forced_apply_takes_the_field_for_good(self, api: Api) -> None:
        await api.apply(api.probe(a=1, b=1))
        assert (await api.apply(api.probe(a=2), by="them"))["spec"] == {"a": 2, "b": 1}
        assert (await api.apply(api.probe(b=1)))["spec"] == {"a": 2, "b": 1}

    async def test_a_patch_takes_the_field_from_who_applied_it(self, api: Api) -> None:
        await api.apply(api.probe(a=1, b=1))
        await api.client.merge_patch(PROBE, api.key("one"), {"spec": {"a": 5}})
        with pytest.raises(ApplyConflict):
            await api.apply(api.probe(a=1, b=1), force=False)
        assert (await api.apply(api.probe(b=1)))["spec"] == {"a": 5, "b": 1}

    async def test_items_of_a_keyed_list_have_owners_of_their_own(self, api: Api) -> None:
        await api.apply(api.probe(env=[{"name": "ours", "value": "1"}]))
        await api.apply(api.probe(env=[{"name": "theirs", "value": "2"}]), by="them")
        changed = await api.apply(api.probe(env=[{"name": "new", "value": "3"}]))
        assert sorted((item["name"], item["value"]) for item in changed["spec"]["env"]) == [
            ("new", "3"),
            ("theirs", "2"),
        ]

    async def test_an_atomic_list_is_replaced_whole(self, api: Api) -> None:
        await api.apply(api.probe(steps=[1, 2, 3]))
        assert (await api.apply(api.probe(steps=[4]), by="them"))["spec"] == {"steps": [4]}

    async def test_labels_are_owned_one_by_one(self, api: Api) -> None:
        ours, theirs = api.probe(), api.probe()
        ours["metadata"]["labels"] = {"a": "1", "b": "1"}
        theirs["metadata"]["labels"] = {"c": "1"}
        await api.apply(ours)
        await api.apply(theirs, by="them")
        ours["metadata"]["labels"] = {"a": "1"}
        assert (await api.apply(ours))["metadata"]["labels"] == {"a": "1", "c": "1"}

    async def test_a_field_of_a_plain_create_outlives_an_apply_without_it(self, api: Api) -> None:
        """A create and an apply own their fields apart, under one manager's name too; see ADR 6."""
        path, body = PROBE.path(api.namespace), orjson.dumps(api.probe(a=1, b=2))
        params = {"fieldManager": "us"}
        await api.rest.request("POST", path, params=params, body=body, content_type="application/json")
        applied = await api.apply(api.probe(a=1))
        assert applied["spec"] == {"a": 1, "b": 2}
        records = [(record["manager"], record["operation"]) for record in applied["metadata"]["managedFields"]]
        assert sorted(records) == [("us", "Apply"), ("us", "Update")]

    async def test_an_apply_that_names_a_uid_never_creates(self, api: Api) -> None:
        with pytest.raises(Conflict):
            await api.apply(api.probe(), uid=_OTHER_UID)
        created = await api.apply(api.probe())
        with pytest.raises(Conflict):
            await api.apply(api.probe(a=1), uid=_OTHER_UID)
        assert (await api.apply(api.probe(a=1), uid=uid_of(created)))["spec"] == {"a": 1}

    @pytest.mark.parametrize("force", [True, False])
    async def test_an_apply_of_what_must_be_new_never_changes_anything(self, api: Api, *, force: bool) -> None:
        created = await api.apply(api.probe(a=1), force=force, must_be_new=True)
        assert [(record["manager"], record["operation"]) for record in created["metadata"]["managedFields"]] == [
            ("us", "Apply")
        ]
        for manager in ("us", "them"):
            with pytest.raises(Conflict):
                await api.apply(api.probe(b=2), by=manager, force=force, must_be_new=True)
        assert await api.client.get(PROBE, api.key("one")) == created

    async def test_an_intent_may_not_say_who_owns_what(self, api: Api) -> None:
        intent = api.probe()
        intent["metadata"]["managedFields"] = [{"manager": "us", "operation": "Apply"}]
        with pytest.raises(BadRequest):
            await api.apply(intent)

    async def test_who_owns_which_field_can_be_read(self, api: Api) -> None:
        applied = await api.apply(api.probe(replicas=1))
        entry = next(one for one in applied["metadata"]["managedFields"] if one["manager"] == "us")
        assert (entry["operation"], entry["fieldsV1"]) == ("Apply", {"f:spec": {"f:replicas": {}}})

    # --- watch

    async def test_a_watch_continues_a_list(self, api: Api) -> None:
        await api.client.create(PROBE, api.probe("before"))
        listed = await api.client.list(PROBE, api.namespace)
        created = await api.client.create(PROBE, api.probe())
        changed = await api.client.merge_patch(PROBE, api.key("one"), {"spec": {"a": 1}})
        await api.client.delete(PROBE, api.key("one"), uid=uid_of(created), propagation="Background")
        events = await api.watched(PROBE, 3, resourceVersion=listed.resource_version)
        assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
        assert [event.object for event in events[:2]] == [created, changed]
        assert _version(events[2].object) > _version(changed)
        assert events[2].object["spec"] == {"a": 1}

    async def test_an_object_enters_and_leaves_a_selector(self, api: Api) -> None:
        listed = await api.client.list(CONFIG_MAP, api.namespace)
        await api.client.create(CONFIG_MAP, api.config_map(a="1"))
        for label in ("yes", None):
            await api.client.merge_patch(CONFIG_MAP, api.key("one"), {"metadata": {"labels": {"watched": label}}})
        events = await api.watched(CONFIG_MAP, 2, resourceVersion=listed.resource_version, labelSelector="watched=yes")
        assert [event.type for event in events] == ["ADDED", "DELETED"]

    async def test_a_streamed_list_tells_when_it_is_complete(self, api: Api) -> None:
        created = [await api.client.create(PROBE, api.probe(name)) for name in "ab"]
        events = await api.watched(PROBE, 3, **_STREAMED_LIST)
        assert sorted(event.object["metadata"]["name"] for event in events[:2]) == ["a", "b"]
        assert events[2].type == "BOOKMARK"
        metadata = events[2].object["metadata"]
        assert metadata["annotations"]["k8s.io/initial-events-end"] == "true"
        assert _number(metadata["resourceVersion"]) >= _version(created[1])

    async def test_a_streamed_list_goes_on_with_changes(self, api: Api) -> None:
        async with asyncio.timeout(20), aclosing(api.watch(PROBE, **_STREAMED_LIST)) as batches:
            events = await anext(batches)
            assert [event.type for event in events] == ["BOOKMARK"]
            created = await api.client.create(PROBE, api.probe())
            assert [(event.type, event.object) for event in await anext(batches)] == [("ADDED", created)]

    async def test_a_watch_that_asks_is_told_before_its_end_how_far_it_has_seen(self, api: Api) -> None:
        """Of changes, too, that are none of its business: else the next watch would begin at a forgotten version."""
        listed = await api.client.list(CONFIG_MAP, api.namespace)
        short = {"resourceVersion": listed.resource_version, "labelSelector": "watched=yes", "timeoutSeconds": "4"}
        async with (
            asyncio.timeout(20),
            aclosing(api.watch(CONFIG_MAP, **short, allowWatchBookmarks="true")) as asking,
            aclosing(api.watch(CONFIG_MAP, **short)) as silent,
        ):
            await api.client.create(CONFIG_MAP, api.config_map(labels={"watched": "yes"}))
            for batches in (asking, silent):
                assert [event.type for event in await anext(batches)] == ["ADDED"]
            unseen = await api.client.create(CONFIG_MAP, api.config_map("two"))
            await api.wait(4)
            told = [event async for batch in asking for event in batch]
            assert {event.type for event in told} == {"BOOKMARK"}
            assert (told[-1].object["apiVersion"], told[-1].object["kind"]) == ("v1", "ConfigMap")
            assert _version(told[-1].object) >= _version(unseen)
            assert [event async for batch in silent for event in batch] == []

    async def test_a_watch_from_a_forgotten_version_is_gone(self, api: Api) -> None:
        with pytest.raises(Gone):
            await api.watched(CONFIG_MAP, 1, resourceVersion="1")


_OTHER_UID = "11111111-2222-4333-8444-555555555555"
_STREAMED_LIST = {
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
    "resourceVersion": "",
}


def _version(obj: Manifest) -> int:
    return _number(obj["metadata"]["resourceVersion"])


def _number(version: str) -> int:
    number = ordinal(version)
    assert number is not None
    return number
