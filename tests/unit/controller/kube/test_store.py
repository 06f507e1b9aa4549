from collections.abc import Sequence

from aurora_controller.kube.meta import Manifest, ObjectKey
from aurora_controller.kube.store import Store, changes


def an_object(
    name: str, *, namespace: str = "team", version: int = 1, uid: str = "", owner: str = "", **labels: str
) -> Manifest:
    metadata: Manifest = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"{name}-uid",
        "resourceVersion": str(version),
        "labels": labels,
    }
    if owner:
        metadata["ownerReferences"] = [
            {"uid": "someone-else", "kind": "Team"},
            {"uid": owner, "kind": "Widget", "controller": True},
        ]
    return {"metadata": metadata}


def names(objects: Sequence[Manifest]) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def test_an_object_is_found_by_its_key() -> None:
    store = Store()
    assert store.put(an_object("a")) is None
    assert store.get(ObjectKey("team", "a")) == an_object("a")
    assert store.get(ObjectKey("other", "a")) is None
    assert store.remove(ObjectKey("team", "a")) == an_object("a")
    assert store.remove(ObjectKey("team", "a")) is None
    assert len(store) == 0


def test_a_list_is_of_one_namespace_or_of_all() -> None:
    store = Store()
    for obj in (an_object("a"), an_object("b", namespace="other"), an_object("c")):
        store.put(obj)
    assert names(store.list("team")) == ["a", "c"]
    assert names(store.list()) == ["a", "b", "c"]
    assert names(store.list("empty")) == []


def test_children_are_found_by_the_uid_of_their_controller_and_no_other_owner() -> None:
    store = Store()
    store.put(an_object("a", owner="w1"))
    store.put(an_object("b", owner="w2"))
    assert names(store.owned_by("w1")) == ["a"]
    assert names(store.owned_by("someone-else")) == []


def test_a_changed_owner_or_label_moves_the_object_in_the_indexes() -> None:
    store = Store(indexed_labels=["color"])
    store.put(an_object("a", owner="w1", color="red"))
    store.put(an_object("a", owner="w2", color="blue"))
    assert (names(store.owned_by("w1")), names(store.owned_by("w2"))) == ([], ["a"])
    assert (names(store.with_label("color", "red")), names(store.with_label("color", "blue"))) == ([], ["a"])


def test_a_removed_object_leaves_all_indexes() -> None:
    store = Store(indexed_labels=["color"])
    store.put(an_object("a", owner="w1", color="red"))
    store.remove(ObjectKey("team", "a"))
    assert names(store.owned_by("w1")) == names(store.with_label("color", "red")) == names(store.list("team")) == []


def test_labels_are_found_with_and_without_an_index() -> None:
    for store in (Store(), Store(indexed_labels=["color"])):
        for obj in (
            an_object("a", color="red"),
            an_object("b", namespace="other", color="red"),
            an_object("c", color="blue"),
        ):
            store.put(obj)
        assert names(store.with_label("color", "red")) == ["a", "b"]
        assert names(store.with_label("color", "red", "team")) == ["a"]


def with_model(name: str, model: object, *, version: int = 1, namespace: str = "team") -> Manifest:
    return an_object(name, version=version, namespace=namespace) | {"spec": {"model": model}}


def test_fields_are_found_with_and_without_an_index() -> None:
    for store in (Store(), Store(indexed_fields=["spec.model"])):
        for obj in (
            with_model("a", "iris"),
            with_model("b", "iris", namespace="other"),
            with_model("c", "housing"),
            with_model("d", 7),
            an_object("e"),
        ):
            store.put(obj)
        assert names(store.with_field("spec.model", "iris")) == ["a", "b"]
        assert names(store.with_field("spec.model", "iris", "team")) == ["a"]
        store.put(with_model("a", "housing", version=2))
        store.remove(ObjectKey("other", "b"))
        assert names(store.with_field("spec.model", "iris")) == []
        assert sorted(names(store.with_field("spec.model", "housing"))) == ["a", "c"]


def a_store(*objects: Manifest) -> Store:
    store = Store()
    for obj in objects:
        store.put(obj)
    return store


def test_two_states_differ_in_what_vanished_changed_and_is_new() -> None:
    kept, changed, gone = an_object("kept"), an_object("changed"), an_object("gone")
    now_changed, new = an_object("changed", version=2), an_object("new")
    before, after = a_store(kept, changed, gone), a_store(kept, now_changed, new)
    assert list(changes(before, after)) == [(gone, None), (changed, now_changed), (None, new)]


def test_an_object_made_again_under_its_name_differs_even_at_the_same_version() -> None:
    first, second = an_object("a", uid="1"), an_object("a", uid="2")
    assert list(changes(a_store(first), a_store(second))) == [(first, second)]
