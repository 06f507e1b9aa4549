"""What must hold after any fault, as functions over what was recorded. Each answers with the violations it found.

Time is scaled: a test watches for a second or two where production is meant to stay quiet for ever; the soak watches
longer. I7 and I8 are read from what a reconcile writes, since that is all that others can see of what it saw.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.meta import JOB, Kind, Manifest, key_of, uid_of
from tests.faults.mirror import OURS, WRITTEN, Seen, status_of
from tests.faults.proxy import Write

Violations = list[str]
Flat = Mapping[str, Any]

_UNSTABLE_METADATA: Final = frozenset(
    {"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "deletionTimestamp"}
)
_SAME_SECOND: Final = 5.0
"""Times tell whole seconds, and are read before anything is sent: only what came so far apart was not within one."""
_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_UID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# ---- I1: converges and stays


def i1_is_at_rest(writes: Sequence[Write], since: float) -> Violations:
    """No step was taken after ``since`` (monotonic)."""
    return [f"I1: still writing at rest: {write}" for write in writes if write.call.is_step and write.began > since]


# ---- I2: the same end


def flat_end(objects: Iterable[tuple[Kind, Manifest]], namespace: str) -> dict[str, Any]:
    """Every leaf of every object that a controller writes, by path.

    Times, uids and the namespace's name differ from run to run by their kind, so each is told by a word in its place:
    that it is there is compared, what it is not.
    """
    leaves: dict[str, Any] = {}
    for kind, obj in objects:
        if kind not in WRITTEN:
            continue
        metadata = {key: value for key, value in obj["metadata"].items() if key not in _UNSTABLE_METADATA}
        text = orjson.dumps({**obj, "metadata": metadata}).replace(namespace.encode(), b"NAMESPACE")
        clean = orjson.loads(_UID.sub(b"UID", _TIME.sub(b"TIME", text)))
        leaves |= dict(_leaves(clean, f"{kind.kind}/{key_of(obj).name}"))
    return leaves


def _leaves(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        yield f"{path}.#", len(value)
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]")
    else:
        yield path, value


def varying(ends: Sequence[Flat]) -> frozenset[str]:
    """Paths on which clean runs disagree: what is made of times and uids, and random keys."""
    paths = {path for end in ends for path in end}
    return frozenset(path for path in paths if len({orjson.dumps(end.get(path)) for end in ends}) > 1)


def i2_ends_alike(end: Flat, reference: Flat, masked: frozenset[str]) -> Violations:
    paths = sorted((end.keys() | reference.keys()) - masked)
    return [
        f"I2: {path} is {end.get(path)!r}, should be {reference.get(path)!r}"
        for path in paths
        if end.get(path) != reference.get(path)
    ]


# ---- I3: nothing is made or removed twice


def counts(told: Iterable[Seen]) -> Counter[str]:
    """``ADDED Job train-v1-1`` → how often, of what a controller makes."""
    return Counter(
        f"{seen.type} {seen.kind.kind} {key_of(seen.obj).name}"
        for seen in told
        if seen.kind in WRITTEN and seen.type in {"ADDED", "DELETED"}
    )


def i3_counts_alike(found: Mapping[str, int], reference: Mapping[str, int]) -> Violations:
    return [
        f"I3: {what}: {found.get(what, 0)} times, should be {reference.get(what, 0)}"
        for what in sorted(found.keys() | reference.keys())
        if found.get(what, 0) != reference.get(what, 0)
    ]


def i3_deletes_name_their_uid(writes: Iterable[Write]) -> Violations:
    deletes = [write for write in writes if write.call.verb == "delete" and write.call.is_step]
    return [
        f"I3: a delete without a uid: {write}"
        for write in deletes
        if not ((write.body or {}).get("preconditions") or {}).get("uid")
    ]


# ---- I4: one Job per attempt, one version per run, two revisions at most


def i4_no_twins(told: Iterable[Seen]) -> Violations:
    """At no moment two Jobs of one attempt or two versions of one run."""
    alive: dict[tuple[str, ...], set[str]] = {}
    found: Violations = []
    for seen in told:
        place = _place(seen)
        if place is None:
            continue
        here = alive.setdefault(place, set())
        if seen.type == "DELETED":
            here.discard(uid_of(seen.obj))
            continue
        here.add(uid_of(seen.obj))
        if len(here) > 1:
            found.append(f"I4: {len(here)} of {' '.join(place)}")
    return found


def _place(seen: Seen) -> tuple[str, ...] | None:
    metadata = seen.obj["metadata"]
    marks = metadata.get("labels") or {}
    if seen.kind == JOB:
        return ("Job", metadata["namespace"], marks.get("aurora.io/run", ""), marks.get("aurora.io/attempt", ""))
    if seen.kind == ML_MODEL_VERSION:
        return ("version", metadata["namespace"], seen.obj["spec"]["modelName"], seen.obj["spec"]["run"])
    return None


# ---- I5: only the holder writes


def i5_only_the_holder_writes(writes: Iterable[Write]) -> Violations:
    """In the order in which the server performed them. The Lease's own writes say who holds it."""
    done = sorted((write for write in writes if write.is_done), key=lambda write: write.ended or 0.0)
    holder: str | None = None
    found: Violations = []
    for write in done:
        if write.call.resource == "leases":
            identity = ((write.answer or {}).get("spec") or {}).get("holderIdentity")
            holder = write.door if identity else None
        elif write.call.is_step and write.door != holder:
            found.append(f"I5: {write}, while {holder} held the Lease")
    return found


# ---- I6: one reconcile of a key at a time


def i6_no_concurrent_runs(writes: Sequence[Write]) -> Violations:
    """Within one controller no reconcile of an owner begins to write before an earlier one has ended.

    Nor does a reconcile send two writes at once. Whose reconcile it is any of its writes may tell.
    """
    runs: dict[tuple[str, str], list[Write]] = {}
    for write in writes:
        if write.call.is_step:
            runs.setdefault((write.door, write.reconcile), []).append(write)
    by_owner: dict[tuple[str, str], list[Write]] = {}
    found: Violations = []
    for (door, reconcile), mine in runs.items():
        owners = {owner for write in mine if (owner := owner_of(write)) is not None}
        if len(owners) > 1 or not reconcile:
            found.append(f"I6: reconcile {reconcile!r} of {door} writes for {len(owners)} owners")
        for owner in owners:
            by_owner.setdefault((door, owner), []).extend(mine)
    for theirs in by_owner.values():
        found += [
            f"I6: {later} began before {earlier} was over"
            for earlier, later in itertools.pairwise(theirs)
            if earlier.over is not None and later.began < earlier.over
        ]
    return found


def owner_of(write: Write) -> str | None:
    """Uid of the object whose reconcile made this write, where the write says so itself."""
    body = write.body if isinstance(write.body, dict) else {}
    owners = (body.get("metadata") or {}).get("ownerReferences") or ()
    if owners:
        return str(owners[0]["uid"])
    if write.call.subresource == "status" and isinstance(write.answer, dict):
        kind = write.answer.get("kind")
        # The training reconciler, too, writes the status of versions.
        return str(write.answer["metadata"].get("uid")) if kind in {ML_DEPLOYMENT.kind, ML_TRAINING_JOB.kind} else None
    return None


# ---- I7, I8: every change is seen, and nothing older after something newer


def i7_every_generation_is_answered(objects: Iterable[tuple[Kind, Manifest]]) -> Violations:
    return [
        f"I7: {kind.kind} {key_of(obj).name} is at generation {obj['metadata']['generation']}, "
        f"its status tells of {status_of(obj).get('observedGeneration')}"
        for kind, obj in objects
        if kind in {ML_DEPLOYMENT, ML_TRAINING_JOB}
        and status_of(obj).get("observedGeneration") != obj["metadata"]["generation"]
    ]


def i8_versions_never_fall(writes: Iterable[Write]) -> Violations:
    """The version of each object that one controller decided on; told by the precondition of its status patches.

    Whether it was performed does not matter: a conflict comes of an old view, and only what is seen may not grow older.
    A second patch of one reconcile rests on the answer to the first, which the next one may not have seen yet.
    """
    seen: dict[tuple[str, str, str], int] = {}
    begun: set[tuple[str, str]] = set()
    found: Violations = []
    for write in filter(_tells_its_view, writes):
        place = (write.door, write.call.resource, write.call.name)
        if (write.door, write.reconcile) in begun:
            continue
        begun.add((write.door, write.reconcile))
        if _view_of(write) < seen.get(place, 1):
            found.append(f"I8: {write} rests on {_view_of(write)}, an earlier one on {seen.get(place)}")
        seen[place] = max(seen.get(place, 0), _view_of(write))
    return found


def i8_own_writes_are_seen(writes: Iterable[Write], *, patience: float) -> Violations:
    """For so many seconds after a write no later reconcile of that controller decides on the view before it.

    Told by status patches that name a version before its own, and by creates of what was just created. Whose answer
    the controller no longer waited for is not known to it as written.
    """
    performed: dict[tuple[str, str, str], Write] = {}
    found: Violations = []
    for write in writes:
        if not (_tells_its_view(write) or write.call.verb == "create"):
            continue
        place = (write.door, write.call.resource, write.call.name)
        mine = performed.get(place)
        if mine is not None and mine.reconcile != write.reconcile and _view_of(write) < int(mine.version):
            seconds = write.began - (mine.over or 0.0)
            found += [f"I8: {write} {seconds:.2f} s after {mine}, unseen"] if seconds < patience else []
        if write.is_done and not write.is_given_up:
            performed[place] = write
    return found


def _tells_its_view(write: Write) -> bool:
    """Two reconcilers write the status of versions, each with a view of its own."""
    return write.call.subresource == "status" and write.call.resource in {ML_DEPLOYMENT.plural, ML_TRAINING_JOB.plural}


def _view_of(write: Write) -> int:
    """The version that it names as what it rests on; 0 when none."""
    return int((write.body.get("metadata") or {}).get("resourceVersion") or 0)


# ---- I9: conditions


def i9_conditions_are_honest(told: Iterable[Seen], writes: Sequence[Write]) -> Violations:
    """observedGeneration rises and is never ahead; a transition time moves exactly with its status."""
    # A busy server tells late of what was written long before, and a status is the last that a reconcile writes.
    began = {(write.door, write.reconcile): write.began for write in reversed(writes) if write.reconcile}
    # The first write of a version made it.
    written = {
        write.version: began.get((write.door, write.reconcile), write.began)
        for write in reversed(writes)
        if write.is_done
    }
    before: dict[str, Manifest] = {}
    shown: dict[tuple[str, str], float] = {}
    """When an object's condition was first given its transition time."""
    found: Violations = []
    for seen in told:
        if seen.kind not in OURS or seen.type == "DELETED":
            continue
        uid = uid_of(seen.obj)
        name, now, then = f"{seen.kind.kind} {key_of(seen.obj).name}", status_of(seen.obj), status_of(before.get(uid))
        at = written.get(str(seen.version), seen.at)
        observed = now.get("observedGeneration") or 0
        if observed > seen.obj["metadata"]["generation"]:
            found.append(f"I9: {name} observed {observed}, which is not there yet")
        if observed < (then.get("observedGeneration") or 0):
            found.append(f"I9: {name} observed {observed} after {then['observedGeneration']}")
        olds = {one["type"]: one for one in then.get("conditions") or ()}
        for one in now.get("conditions") or ():
            known, place = olds.get(one["type"]), (uid, one["type"])
            moves = known is None or known["lastTransitionTime"] != one["lastTransitionTime"]
            is_flipped = known is not None and known["status"] != one["status"]
            if known is not None and moves and not is_flipped:
                found.append(f"I9: {name} {one['type']}: the time moved without the status")
            if is_flipped and not moves and at - shown[place] > _SAME_SECOND:
                found.append(f"I9: {name} {one['type']}: the status moved without the time")
            if moves:
                shown[place] = at
        before[uid] = seen.obj
    return found


# ---- I10, I11, I12


def i10_finalizers_go_last(writes: Sequence[Write]) -> Violations:
    """Nothing is written for an object after its finalizers were removed. Aurora sets none, so none may be removed."""
    found: Violations = []
    freed: set[str] = set()
    for write in writes:
        metadata = write.body.get("metadata") or {} if isinstance(write.body, dict) else {}
        owner = owner_of(write)
        if owner in freed:
            found.append(f"I10: {write} after its finalizers were gone")
        if write.call.verb == "patch" and "finalizers" in metadata and not metadata["finalizers"] and write.is_done:
            freed.add(uid_of(write.answer))
    return found


def i11_within_budget(writes: Sequence[Write], *, reference: int, factor: float = 2.0, spare: int = 6) -> Violations:
    """A fault may cost some more steps than none, not a loop."""
    taken = sum(write.call.is_step for write in writes)
    allowed = round(reference * factor) + spare
    return [f"I11: {taken} steps, {reference} without a fault"] if taken > allowed else []


def i11_a_failing_key_slows_down(times: Sequence[float], *, until: float, spare: int = 4) -> Violations:
    """Within 10 s of the first try at most those of a backoff from 5 ms on, which doubles; then one a second.

    ``times`` are of tries, and ``until`` of when counting them ended. News of the object may cause some ``spare`` ones.
    """
    first = min(times)
    early = sum(time <= first + 10.0 for time in times)
    late, seconds = len(times) - early, max(0.0, until - first - 10.0)
    found = []
    if early > 12 + spare:
        found.append(f"I11: {early} tries within ten seconds")
    if late > seconds + 1:
        found.append(f"I11: {late} tries within the {seconds:.0f} s after that")
    return found


def i11_a_failing_key_backs_off(times: Sequence[float], *, until: float, spare: int = 0) -> Violations:
    """Each try is twice as long after the one before, from 5 ms on. Arguments are as above."""
    seconds = until - min(times)
    most = 2 + spare + math.log2(max(1.0, seconds / 0.005))
    return [f"I11: {len(times)} tries within {seconds:.0f} s"] if len(times) > most else []


def i12_nothing_leaks(
    before: Mapping[str, float], after: Mapping[str, float], *, allowed: Mapping[str, float]
) -> Violations:
    """``allowed`` says by how much each measure may have grown."""
    return [
        f"I12: {name} grew from {before[name]:g} to {after[name]:g}"
        for name in allowed
        if after[name] - before[name] > allowed[name]
    ]


def always(writes: Sequence[Write], told: Sequence[Seen]) -> Violations:
    """What holds of any log, whatever was done to the controller."""
    return [
        *i3_deletes_name_their_uid(writes),
        *i4_no_twins(told),
        *i6_no_concurrent_runs(writes),
        *i8_versions_never_fall(writes),
        *i9_conditions_are_honest(told, writes),
        *i10_finalizers_go_last(writes),
    ]
