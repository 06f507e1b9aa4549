"""Which events wake which job, and how little the reconciler may do."""

from aurora_controller.api.v1alpha1.kinds import ML_MODEL, ML_MODEL_VERSION
from aurora_controller.kube.meta import JOB, POD, Kind, Manifest, ObjectKey
from tests.unit.builders import a_model
from tests.unit.controller.training.world import JOB_NAME, World

KEY = ObjectKey("default", JOB_NAME)


def requests(world: World, kind: Kind, obj: Manifest) -> list[ObjectKey]:
    (watch,) = [watch for watch in world.reconciler.watches if watch.kind == kind]
    return list(watch.requests(obj))


async def test_versions_jobs_and_pods_wake_the_job_they_are_labelled_with() -> None:
    world = World()
    await world.settle()
    world.start_pods()
    assert requests(world, ML_MODEL_VERSION, world.version(1)) == [KEY]
    assert requests(world, JOB, world.list_jobs()[0]) == [KEY]
    assert requests(world, POD, world.pods_of("housing-rf-v1-1")[0]) == [KEY]


async def test_what_bears_no_label_and_models_wake_nobody() -> None:
    world = World()
    await world.settle()
    bare = world.version(1)
    del bare["metadata"]["labels"]
    assert requests(world, ML_MODEL_VERSION, bare) == []
    assert requests(world, ML_MODEL, a_model()) == []


async def test_only_auroras_own_jobs_and_pods_are_watched() -> None:
    selectors = {watch.kind.kind: watch.label_selector for watch in World().reconciler.watches}
    assert selectors["Job"] == selectors["Pod"] == "app.kubernetes.io/managed-by=aurora"
    assert selectors["MLModelVersion"] == ""


def test_it_may_write_nothing_but_jobs_reservations_and_status() -> None:
    writing = {
        (resource, verb)
        for rule in World().reconciler.rules
        for resource in rule.resources
        for verb in rule.verbs
        if verb not in {"get", "list", "watch"}
    }
    assert writing == {
        ("jobs", "create"),
        ("jobs", "delete"),
        ("mlmodelversions", "create"),
        ("mlmodelversions", "delete"),
        ("mlmodelversions/status", "patch"),
        ("mltrainingjobs/status", "patch"),
    }
    assert not [rule for rule in World().reconciler.rules if "*" in rule.verbs or "*" in rule.resources]
