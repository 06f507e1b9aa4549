"""Each oracle finds the log that breaks its promise, and says nothing of one that keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL_VERSION
from aurora_controller.kube.meta import JOB, POD, Manifest
from tests.faults import oracles
from tests.faults.mirror import Seen
from tests.faults.oracles import Violations
from tests.faults.proxy import Write
from tests.unit.faults.logged import NS, a_status_patch, a_write, an_object, owned, seen


def numbers_of(found: Violations) -> set[str]:
    """``I4`` of what each says."""
    return {violation.split(":")[0] for violation in found}


# I1


def test_i1_finds_a_step_after_the_rest_began() -> None:
    early, late = a_write(at=(1.0, 1.5)), a_write(at=(3.0, 3.5))
    assert oracles.i1_is_at_rest([early], since=2.0) == []
    assert numbers_of(oracles.i1_is_at_rest([early, late], since=2.0)) == {"I1"}


def test_i1_lets_the_lease_be_renewed_at_rest() -> None:
    assert oracles.i1_is_at_rest([a_write("update", "leases", at=(3.0, 3.5))], since=2.0) == []


# I2


def end(**given: Any) -> oracles.Flat:
    return oracles.flat_end([(JOB, an_object(JOB, **given))], NS)


def test_i2_finds_a_leaf_that_differs_is_missing_or_is_too_many() -> None:
    reference = end(spec={"a": 1, "b": [1]})
    assert oracles.i2_ends_alike(end(spec={"a": 1, "b": [1]}), reference, frozenset()) == []
    for other in ({"a": 2, "b": [1]}, {"b": [1]}, {"a": 1, "b": [1], "c": 1}, {"a": 1, "b": []}):
        assert numbers_of(oracles.i2_ends_alike(end(spec=other), reference, frozenset())) == {"I2"}, other


def test_i2_finds_an_object_that_is_missing() -> None:
    found = oracles.i2_ends_alike({}, end(spec={}), frozenset())
    assert any("Job/one" in violation for violation in found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("2026-11-28T10:00:00Z", "2026-11-28T10:00:09Z", id="times"),
        pytest.param("2026-11-28T10:00:00.123456Z", "2026-11-28T10:00:09Z", id="times with fractions"),
        pytest.param('{"at": "2026-11-28T10:00:00Z"}', '{"at": "2026-11-28T11:00:00Z"}', id="times within a text"),
        pytest.param(
            "run-0f8fad5b-d9cb-469f-a165-70867728950e-1", "run-7c9e6679-7425-40de-944b-e07fc1f90ae7-1", id="uids"
        ),
    ],
)
def test_i2_compares_that_times_and_uids_are_there_and_not_what_they_are(one: str, other: str) -> None:
    reference = end(status={"value": one})
    assert oracles.i2_ends_alike(end(status={"value": other}), reference, frozenset()) == []
    assert numbers_of(oracles.i2_ends_alike(end(status={}), reference, frozenset())) == {"I2"}
    assert numbers_of(oracles.i2_ends_alike(end(status={"value": "never"}), reference, frozenset())) == {"I2"}


def test_i2_knows_a_namespace_by_its_place() -> None:
    ends = [
        oracles.flat_end([(JOB, an_object(JOB, metadata={"namespace": name}, spec={"host": f"a.{name}.svc"}))], name)
        for name in ("first-1", "first-2")
    ]
    assert oracles.i2_ends_alike(ends[0], ends[1], frozenset()) == []


def test_i2_looks_at_what_a_controller_writes_alone() -> None:
    assert oracles.flat_end([(POD, an_object(POD, spec={"a": 1}))], NS) == {}


def test_i2_leaves_out_what_differs_between_clean_runs() -> None:
    clean = [end(spec={"key": key, "a": 1}) for key in ("x", "y", "z")]
    masked = oracles.varying(clean)
    assert masked == {"Job/one.spec.key"}
    assert oracles.i2_ends_alike(end(spec={"key": "w", "a": 1}), clean[0], masked) == []
    assert numbers_of(oracles.i2_ends_alike(end(spec={"key": "w", "a": 2}), clean[0], masked)) == {"I2"}


# I3


def test_i3_finds_what_was_made_twice_never_or_removed_needlessly() -> None:
    job = an_object(JOB)
    reference = oracles.counts([seen(JOB, job, "ADDED"), seen(JOB, job), seen(POD, an_object(POD), "ADDED")])
    assert reference == {"ADDED Job one": 1}
    assert oracles.i3_counts_alike({"ADDED Job one": 1}, reference) == []
    for found in ({"ADDED Job one": 2}, {}, {"ADDED Job one": 1, "DELETED Job one": 1}):
        assert numbers_of(oracles.i3_counts_alike(found, reference)) == {"I3"}, found


@pytest.mark.parametrize("body", [None, {}, {"preconditions": {}}, {"preconditions": {"resourceVersion": "1"}}])
def test_i3_finds_a_delete_that_names_no_uid(body: Any) -> None:
    assert numbers_of(oracles.i3_deletes_name_their_uid([a_write("delete", "jobs", body=body)])) == {"I3"}
    named = {"preconditions": {"uid": "uid-1"}}
    assert oracles.i3_deletes_name_their_uid([a_write("delete", "jobs", body=named), a_write("create", "jobs")]) == []


# I4


def a_job(uid: str, attempt: int = 1) -> Manifest:
    marks = {"aurora.io/run": "run-1", "aurora.io/attempt": str(attempt)}
    return an_object(JOB, f"train-{attempt}", uid=uid, metadata={"labels": marks})


def a_version(uid: str, run: str) -> Manifest:
    return an_object(ML_MODEL_VERSION, uid, uid=uid, spec={"modelName": "m", "run": run})


def test_i4_finds_two_jobs_of_one_attempt_at_a_time() -> None:
    twins = [seen(JOB, a_job("u1"), "ADDED"), seen(JOB, a_job("u2"), "ADDED")]
    assert numbers_of(oracles.i4_no_twins(twins)) == {"I4"}


def test_i4_lets_a_job_follow_another_and_attempts_be_beside_each_other() -> None:
    told = [
        seen(JOB, a_job("u1"), "ADDED"),
        seen(JOB, a_job("u1"), "DELETED"),
        seen(JOB, a_job("u2"), "ADDED"),
        seen(JOB, a_job("u2")),
        seen(JOB, a_job("u3", attempt=2), "ADDED"),
    ]
    assert oracles.i4_no_twins(told) == []


def test_i4_finds_two_versions_of_one_run() -> None:
    runs = [seen(ML_MODEL_VERSION, a_version(uid, run), "ADDED") for uid, run in (("v1", "r1"), ("v2", "r2"))]
    assert oracles.i4_no_twins(runs) == []
    twin = seen(ML_MODEL_VERSION, a_version("v3", "r1"), "ADDED")
    assert numbers_of(oracles.i4_no_twins([*runs, twin])) == {"I4"}


# I5


def a_lease(holder: str | None, door: str, **given: Any) -> Write:
    return a_write("update", "leases", door=door, answer={"spec": {"holderIdentity": holder}}, **given)


def test_i5_finds_a_write_of_whoever_does_not_hold_the_lease() -> None:
    held = [a_lease("a", "a"), a_write(door="a"), a_lease("b", "b"), a_write(door="b")]
    assert oracles.i5_only_the_holder_writes(held) == []
    assert numbers_of(oracles.i5_only_the_holder_writes([*held, a_write(door="a")])) == {"I5"}
    assert numbers_of(oracles.i5_only_the_holder_writes([*held, a_lease("", "b"), a_write(door="b")])) == {"I5"}
    assert numbers_of(oracles.i5_only_the_holder_writes([a_write(door="a")])) == {"I5"}


def test_i5_goes_by_the_order_of_the_server_and_by_what_it_performed() -> None:
    lease = a_lease("a", "a", at=(1.0, 2.0))
    refused = a_write(door="b", at=(3.0, 3.1), status=409)
    unheard = a_write(door="b", at=(4.0, 4.1), status=None)
    assert oracles.i5_only_the_holder_writes([unheard, refused, lease]) == []
    sent_before_and_done_after = a_write(door="b", at=(0.5, 2.5))
    assert numbers_of(oracles.i5_only_the_holder_writes([sent_before_and_done_after, lease])) == {"I5"}


# I6


def test_i6_finds_a_reconcile_that_begins_while_another_of_its_owner_goes_on() -> None:
    first = [
        a_write("apply", "services", reconcile="r1", body=owned("u1"), at=(1.0, 1.5)),
        a_write("delete", "ingresses", reconcile="r1", at=(2.0, 2.5)),
    ]
    after = a_status_patch("u1", reconcile="r2", at=(3.0, 3.5))
    amid = a_status_patch("u1", reconcile="r2", at=(2.2, 2.6))
    assert oracles.i6_no_concurrent_runs([*first, after]) == []
    assert numbers_of(oracles.i6_no_concurrent_runs([*first, amid])) == {"I6"}


def test_i6_lets_owners_and_controllers_write_beside_each_other() -> None:
    writes = [
        a_write("apply", "services", reconcile="r1", body=owned("u1"), at=(1.0, 2.0)),
        a_write("apply", "services", reconcile="r2", body=owned("u2"), at=(1.0, 2.0)),
        a_write("apply", "services", reconcile="r1", door="b", body=owned("u1"), at=(1.5, 2.5)),
    ]
    assert oracles.i6_no_concurrent_runs(writes) == []


def test_i6_finds_a_reconcile_that_writes_for_two_or_names_none() -> None:
    for reconcile, uids in (("r1", ("u1", "u2")), ("", ("u1",))):
        writes = [a_write("apply", "services", reconcile=reconcile, body=owned(uid)) for uid in uids]
        assert numbers_of(oracles.i6_no_concurrent_runs(writes)) == {"I6"}


# I7, I8


@pytest.mark.parametrize(("observed", "violated"), [pytest.param(2, set(), id="answered"), (1, {"I7"}), (None, {"I7"})])
def test_i7_finds_a_generation_that_no_status_tells_of(observed: int | None, violated: set[str]) -> None:
    status = {} if observed is None else {"observedGeneration": observed}
    obj = an_object(ML_DEPLOYMENT, metadata={"generation": 2}, status=status)
    assert (
        numbers_of(oracles.i7_every_generation_is_answered([(ML_DEPLOYMENT, obj), (JOB, an_object(JOB))])) == violated
    )


def test_i8_finds_a_decision_that_rests_on_an_older_version_than_one_before() -> None:
    rising = [a_status_patch(version=version, reconcile=f"r{version}") for version in (3, 3, 5)]
    fallen = a_status_patch(version=4, reconcile="r9")
    assert oracles.i8_versions_never_fall([*rising, replace(fallen, door="another")]) == []
    assert numbers_of(oracles.i8_versions_never_fall([*rising, fallen])) == {"I8"}
    assert numbers_of(oracles.i8_versions_never_fall([*rising, replace(fallen, status=409)])) == {"I8"}


def test_i8_finds_a_decision_that_names_no_version() -> None:
    assert numbers_of(oracles.i8_versions_never_fall([a_status_patch(version=0)])) == {"I8"}


def test_i8_counts_the_first_patch_of_a_reconcile_only() -> None:
    """The second names the version that the first one made."""
    decided = ((3, "a"), (7, "a"), (5, "b"))
    writes = [a_status_patch(version=version, reconcile=reconcile) for version, reconcile in decided]
    assert oracles.i8_versions_never_fall(writes) == []


def test_i8_finds_a_decision_that_has_not_seen_an_own_write() -> None:
    done = a_status_patch(version=3, reconcile="a", at=(1.0, 1.1))
    done.answer["metadata"]["resourceVersion"] = "7"
    unseen = a_status_patch(version=3, reconcile="b", status=409, at=(2.0, 2.1))
    assert numbers_of(oracles.i8_own_writes_are_seen([done, unseen], patience=5.0)) == {"I8"}
    assert oracles.i8_own_writes_are_seen([done, unseen], patience=0.5) == []
    assert oracles.i8_own_writes_are_seen([replace(done, is_given_up=True), unseen], patience=5.0) == []
    assert oracles.i8_own_writes_are_seen([done, replace(unseen, reconcile="a")], patience=5.0) == []
    seen = a_status_patch(version=7, reconcile="b", status=409, at=(2.0, 2.1))
    assert oracles.i8_own_writes_are_seen([done, seen], patience=5.0) == []


def test_i8_finds_a_second_create_of_what_was_just_created() -> None:
    created = a_write("create", "jobs", reconcile="a", answer=an_object(JOB), at=(1.0, 1.1))
    created.answer["metadata"]["resourceVersion"] = "7"
    again = a_write("create", "jobs", reconcile="b", body={}, status=409, at=(1.2, 1.3))
    assert numbers_of(oracles.i8_own_writes_are_seen([created, again], patience=5.0)) == {"I8"}


# I9


def told(*stages: tuple[float, str, str, int], generation: int = 2) -> Sequence[Seen]:
    """An MLDeployment through time: when it was seen, Ready, since when, and the generation that it tells of."""
    return [
        seen(
            ML_DEPLOYMENT,
            an_object(
                ML_DEPLOYMENT,
                metadata={"generation": generation, "resourceVersion": str(version)},
                status={
                    "observedGeneration": observed,
                    "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": f"2026-11-28T{since}Z"}],
                },
            ),
            at=at,
        )
        for version, (at, status, since, observed) in enumerate(stages, start=1)
    ]


HONEST = [(0.0, "False", "10:00:00", 1), (20.0, "False", "10:00:00", 2), (40.0, "True", "10:00:40", 2)]


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param((50.0, "True", "10:00:50", 2), id="the time moves without the status"),
        pytest.param((60.0, "False", "10:00:40", 2), id="the status moves without the time"),
        pytest.param((50.0, "True", "10:00:40", 1), id="the generation falls"),
        pytest.param((50.0, "True", "10:00:40", 3), id="a generation that is not there yet"),
    ],
)
def test_i9_finds_a_condition_that_lies(stage: tuple[float, str, str, int]) -> None:
    assert oracles.i9_conditions_are_honest(told(*HONEST), []) == []
    assert numbers_of(oracles.i9_conditions_are_honest(told(*HONEST, stage), [])) == {"I9"}


def test_i9_lets_a_status_move_twice_within_the_second_that_times_tell() -> None:
    assert oracles.i9_conditions_are_honest(told(*HONEST, (40.9, "False", "10:00:40", 2)), []) == []


def test_i9_goes_by_when_a_status_was_written_however_late_it_was_seen() -> None:
    turned, back = told((40.0, "True", "10:00:40", 2), (60.0, "False", "10:00:40", 2))
    writes = [
        a_write(at=(time, time + 1), answer=one.obj, reconcile=f"at {time}")
        for time, one in ((39.0, turned), (39.5, back), (58.0, back))
    ]
    assert oracles.i9_conditions_are_honest([turned, back], writes) == []
    writes[1].began = 50.0
    # It was decided before its first write, however long those before the status took.
    first = a_write("apply", "deployments", at=(39.5, 50.0), reconcile=writes[1].reconcile)
    assert oracles.i9_conditions_are_honest([turned, back], [writes[0], first, *writes[1:]]) == []
    assert numbers_of(oracles.i9_conditions_are_honest([turned, back], writes)) == {"I9"}


def test_i9_knows_an_object_that_was_made_again_by_its_uid() -> None:
    later = told((0.0, "False", "10:09:00", 1))
    later[0].obj["metadata"]["uid"] = "uid-2"
    assert oracles.i9_conditions_are_honest([*told(*HONEST), *later], []) == []


# I10, I11, I12


def test_i10_finds_a_write_after_the_finalizers_were_gone() -> None:
    freed = a_write(body={"metadata": {"finalizers": []}}, answer=an_object(ML_DEPLOYMENT, uid="u1"))
    assert oracles.i10_finalizers_go_last([a_status_patch("u1"), freed, a_status_patch("u2")]) == []
    assert numbers_of(oracles.i10_finalizers_go_last([freed, a_status_patch("u1")])) == {"I10"}
    assert numbers_of(oracles.i10_finalizers_go_last([freed, a_write("apply", body=owned("u1"))])) == {"I10"}


def test_i11_finds_more_steps_than_a_fault_may_cost() -> None:
    steps, others = [a_write() for _ in range(26)], [a_write("create", "events") for _ in range(20)]
    assert oracles.i11_within_budget([*steps, *others], reference=10) == []
    assert numbers_of(oracles.i11_within_budget([*steps, a_write()], reference=10)) == {"I11"}


def test_i11_finds_a_failing_key_that_does_not_slow_down() -> None:
    early, late = [0.005 * (2**tries - 1) for tries in range(12)], [20.5, 30.0]
    assert oracles.i11_a_failing_key_slows_down([*early, *late], until=30.0) == []
    assert numbers_of(oracles.i11_a_failing_key_slows_down([0.4 * tries for tries in range(26)], until=10.0)) == {"I11"}
    assert numbers_of(oracles.i11_a_failing_key_slows_down([0.0, 12.0, 12.2, 12.4, 12.6, 12.8], until=13.0)) == {"I11"}


def test_i11_finds_a_failing_key_that_does_not_back_off() -> None:
    doubling = [0.005 * (2**tries - 1) for tries in range(12)]
    assert oracles.i11_a_failing_key_backs_off(doubling, until=15.0) == []
    steady = [1.0 * tries for tries in range(15)]
    assert numbers_of(oracles.i11_a_failing_key_backs_off(steady, until=15.0)) == {"I11"}


@pytest.mark.parametrize(
    ("after", "violated"),
    [
        pytest.param({"tasks": 12.0, "rss": 900.0}, set(), id="as much as allowed; what is not measured is not judged"),
        pytest.param({"tasks": 13.0, "rss": 100.0}, {"I12"}, id="more"),
    ],
)
def test_i12_finds_what_grew_more_than_it_may(after: Mapping[str, float], violated: set[str]) -> None:
    before = {"tasks": 10.0, "rss": 100.0}
    assert numbers_of(oracles.i12_nothing_leaks(before, after, allowed={"tasks": 2.0})) == violated


# All of them


def test_what_always_holds_is_looked_for_together() -> None:
    assert oracles.always([a_status_patch("u1")], told(*HONEST)) == []
    broken = oracles.always(
        [
            a_write("delete", "jobs"),
            a_write("apply", reconcile="", body=owned("u1")),
            a_write(body={"metadata": {"finalizers": []}}, answer=an_object(ML_DEPLOYMENT, uid="u2")),
            a_status_patch("u2"),
            a_status_patch("u3", version=5, reconcile="r8"),
            a_status_patch("u3", version=4, reconcile="r9"),
        ],
        [
            *told(*HONEST, (50.0, "True", "10:00:50", 2)),
            seen(JOB, a_job("u1"), "ADDED"),
            seen(JOB, a_job("u2"), "ADDED"),
        ],
    )
    assert numbers_of(broken) == {"I3", "I4", "I6", "I8", "I9", "I10"}
