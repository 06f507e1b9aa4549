"""Whose events matter to whom, and no more rights than that takes."""

import pytest

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_MODEL, ML_MODEL_VERSION
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    Kind,
    Manifest,
    ObjectKey,
)
from tests.unit.builders import a_claim, a_deployment, a_model, a_ready_version, an_object
from tests.unit.controller.rollout.world import KEY, MODEL, NAME, World, a_world_with_a_canary


def _asked_for(world: World, obj: Manifest, kind: Kind) -> list[ObjectKey]:
    (watch,) = [watch for watch in world.reconciler.watches if watch.kind == kind]
    return list(watch.requests(obj))


@pytest.mark.parametrize(
    "kind", [DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, POD, ENDPOINT_SLICE], ids=lambda kind: kind.kind
)
def test_what_carries_the_label_of_a_deployment_concerns_it(kind: Kind) -> None:
    world = World()
    child = an_object(kind, "any", labels={labels.DEPLOYMENT: NAME})
    assert _asked_for(world, child, kind) == [KEY]
    assert _asked_for(world, an_object(kind, "any"), kind) == []


def test_built_in_kinds_are_watched_by_auroras_label_alone() -> None:
    selectors = {watch.kind: watch.label_selector for watch in World().reconciler.watches}
    for kind in (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, POD, ENDPOINT_SLICE):
        assert selectors[kind] == f"{labels.MANAGED_BY}={labels.MANAGED_BY_AURORA}"


def test_versions_and_models_concern_those_who_serve_the_model() -> None:
    world = World()
    world.put(a_deployment("other", model_name="another"))
    assert _asked_for(world, a_ready_version(2, model=MODEL), ML_MODEL_VERSION) == [KEY]
    assert _asked_for(world, a_model(MODEL), ML_MODEL) == [KEY]


async def test_a_claim_concerns_those_who_are_not_served_or_have_a_canary() -> None:
    world = World()
    assert _asked_for(world, a_claim(), PERSISTENT_VOLUME_CLAIM) == [KEY]
    await world.run(10, until=lambda: world.phase == "Idle")
    assert _asked_for(world, a_claim(), PERSISTENT_VOLUME_CLAIM) == []
    world = await a_world_with_a_canary()
    assert _asked_for(world, a_claim(), PERSISTENT_VOLUME_CLAIM) == [KEY]


def test_the_rules_are_what_it_reads_and_writes() -> None:
    rules = {
        (rule.group, resource): set(rule.verbs) for rule in World().reconciler.rules for resource in rule.resources
    }
    read, own = {"get", "list", "watch"}, {"get", "list", "watch", "create", "patch", "delete"}
    assert rules == {
        ("aurora.io", "mldeployments"): read,
        ("aurora.io", "mldeployments/status"): {"patch"},
        ("aurora.io", "mlmodels"): read,
        ("aurora.io", "mlmodelversions"): read,
        ("apps", "deployments"): own,
        ("", "services"): own,
        ("networking.k8s.io", "ingresses"): own,
        ("policy", "poddisruptionbudgets"): own,
        ("discovery.k8s.io", "endpointslices"): read,
        ("", "pods"): read,
        ("", "persistentvolumeclaims"): read,
        ("", "secrets"): {"get", "create"},
    }


async def test_every_kind_that_is_written_is_allowed() -> None:
    world = await a_world_with_a_canary()
    world.request("promote")
    await world.run(120)
    plurals = {"Deployment": "deployments", "Service": "services", "Ingress": "ingresses", "Secret": "secrets"}
    plurals |= {"PodDisruptionBudget": "poddisruptionbudgets", "MLDeployment": "mldeployments/status"}
    verbs = {"create": "create", "apply": "patch", "delete": "delete", "patch status": "patch"}
    allowed = {
        (resource, verb) for rule in world.reconciler.rules for resource in rule.resources for verb in rule.verbs
    }
    for line in world.cluster.writes:
        verb, kind, _ = line.rsplit(" ", 2)
        assert (plurals[kind], verbs[verb]) in allowed
