"""Which malformed fields of an object keep the API server from taking any status of it, and why.

What a status update does not change is not validated again, and a rule of the schema (CEL) that comes out false for it
is no more than a warning: Kubernetes calls it ratcheting. A rule that cannot be evaluated refuses the update all the
same, and nothing in CEL catches that: ``error || x`` is true only where ``x`` is, whatever the value. So every rule
that reads a value of another type stands in the way, but for those of the root, which are asked at creation alone
(``Rule.only_at_creation``). Of these fields an Event tells instead of a status (``test_bad_input.py``).
"""

from collections.abc import Mapping
from typing import Final

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.clock import SystemClock
from aurora_controller.kube.errors import Invalid
from aurora_controller.kube.failure import Failure, Severity, failure_status
from aurora_controller.kube.meta import Kind, Manifest
from tests.faults.control_plane import ControlPlane
from tests.faults.scenarios import MODEL, Stage
from tests.shared.mutations import MISSING, mutations, named
from tests.unit.builders import CREATED_AT, a_condition, a_digest

RESOURCES: Final = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}
PLACEMENT: Final = {
    "nodeSelector": {"a": "b"},
    "labels": {"a": "b"},
    "annotations": {"a": "b"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "a"}],
}
REVISION: Final = {"revision": "1-a", "version": 1, "digest": a_digest(), "settings": {}, "available": True}
OBJECTS: Final[Mapping[Kind, tuple[str, Manifest, Manifest]]] = {
    ML_MODEL_VERSION: (
        f"{MODEL}-v2",
        {
            "modelName": MODEL,
            "version": 2,
            "run": "a",
            "trainedBy": {"name": "a", "uid": "a"},
            "claimName": "a",
        },
        {
            "digest": a_digest(),
            "sizeBytes": 1,
            "metrics": {"r2": 0.5},
            "signature": {"featureCount": 1, "inputs": [{"name": "a", "datatype": "FP64", "shape": [-1, 8]}]},
            "createdAt": CREATED_AT,
            "state": "Ready",
            "servedBy": ["a"],
        },
    ),
    ML_MODEL: (
        MODEL,
        {"description": "a", "aliases": {"champion": 1}},
        {
            "latestVersion": 1,
            "latestMetrics": {"r2": 0.5},
            "aliases": [{"name": "champion", "version": 1}],
            "aliasHistory": [{"name": "champion", "at": CREATED_AT, "by": "a", "reason": "a"}],
            "servedBy": [{"name": "a", "role": "stable", "version": 1}],
        },
    ),
    ML_TRAINING_JOB: (
        "train",
        {
            "modelName": MODEL,
            "dataset": "synthetic",
            "algorithm": "ridge",
            "hyperparameters": {"alpha": 1},
            "data": {"seed": 1},
            "resources": RESOURCES,
            "placement": PLACEMENT,
            "storage": {"claimName": "a"},
        },
        {
            "run": {"id": "a", "number": 1, "inputs": {}, "phase": "Succeeded"},
            "progress": {"phase": "a", "percent": 1, "observedAt": CREATED_AT},
            "metrics": {"r2": 0.5},
        },
    ),
    ML_DEPLOYMENT: (
        "serve",
        {
            "modelName": MODEL,
            "version": "latest",
            "replicas": 1,
            "resources": RESOURCES,
            "placement": PLACEMENT,
            "strategy": {"type": "Canary", "canaryWeight": 10},
            "routing": {"host": "a.example", "annotations": {"a": "b"}, "tls": {"secretName": "a"}},
            "auth": {"secretName": "a"},
            "server": {"logging": {"payloads": {"percent": 1, "redact": ["a"]}}},
        },
        {
            "phase": "Idle",
            "stable": REVISION,
            "previous": [{"revision": "1-a", "version": 1, "until": CREATED_AT, "deadline": CREATED_AT}],
            "traffic": {"desired": {"stable": 100}},
        },
    ),
}
"""Name, spec and status of an object of each kind, with every field that a rule reads."""

_COMMON: Final = {
    # Whether a request exceeds its limit, known names, and what is a quantity.
    *("spec.resources", "spec.resources.requests", "spec.resources.limits"),
    *("spec.resources.requests.cpu", "spec.resources.limits.memory"),
    # Keys that are not Aurora's.
    *("spec.placement.labels", "spec.placement.annotations"),
    # Immutable.
    "spec.modelName",
}
UNTOLD: Final[Mapping[Kind, set[str]]] = {
    ML_MODEL_VERSION: {
        # The whole spec is immutable.
        *("spec", "spec.modelName", "spec.version", "spec.run", "spec.claimName"),
        *("spec.trainedBy", "spec.trainedBy.name", "spec.trainedBy.uid"),
        # The digest is immutable once it is set.
        *("status", "status.digest"),
    },
    ML_MODEL: {"spec.aliases"},  # the names that an alias may have
    ML_TRAINING_JOB: _COMMON,
    ML_DEPLOYMENT: {
        *_COMMON,
        # latest, a number or the name of an alias.
        "spec.version",
        # A canary needs a weight, and something that splits requests; TLS needs a host; annotations that are harmless.
        *("spec", "spec.strategy", "spec.strategy.type"),
        *("spec.routing", "spec.routing.type", "spec.routing.host", "spec.routing.annotations"),
    },
}


@pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.kind)
async def test_a_status_is_refused_only_where_a_rule_reads_a_value_of_another_type(
    kind: Kind, plane: ControlPlane, client: KubeClient, stage: Stage
) -> None:
    name, spec, status = OBJECTS[kind]
    await stage.put(kind, name, spec, status=status | {"conditions": [a_condition("Ready")]})
    key = stage.key(name)
    intact = await plane.stored(kind, key)
    refused: set[str] = set()
    reasons: list[str] = []
    for path, odd in mutations(intact, (MISSING, -1, ["odd"])):
        await plane.store(kind, key, odd)
        try:
            await client.merge_patch(kind, key, {"status": stalled(odd)}, subresource="status")
        except Invalid as error:
            refused.add(".".join(named(path)))
            reasons.append(error.message)
    assert refused == UNTOLD[kind]
    assert [reason for reason in reasons if "evaluating rule" not in reason or "no such key" in reason] == []


def stalled(manifest: Manifest) -> Manifest:
    """What the controller would write."""
    failure = Failure(severity=Severity.STALLED, reason="InvalidObject", message="a field cannot be read")
    return failure_status(manifest, failure, primary="Ready", now=SystemClock().now())
