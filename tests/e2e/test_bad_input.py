"""Bad input is answered where the user looks, by name and with the remedy, and mends without help."""

from typing import Any

import pytest

from tests.e2e.cluster import Cluster, condition_of
from tests.e2e.stories import API_VERSION, READY_SECONDS, TRAINED_SECONDS, Model, Service, deployment, training_job

NAMESPACE = "e2e-input"
WITHIN_SECONDS = 30.0


@pytest.mark.parametrize(
    ("spec", "named", "listed"),
    [
        pytest.param({"algorithm": "astrology"}, "astrology", "random_forest", id="algorithm"),
        pytest.param({"dataset": "tea-leaves"}, "tea-leaves", "diabetes", id="dataset"),
        pytest.param({"hyperparameters": {"luck": 7}}, "luck", "alpha", id="hyperparameter"),
    ],
)
def test_what_the_trainer_does_not_know_fails_once_and_lists_what_it_knows(
    cluster: Cluster,
    spec: dict[str, Any],
    named: str,
    listed: str,
) -> None:
    name = f"unknown-{next(iter(spec))}".lower()
    cluster.apply(NAMESPACE, training_job(name, "unknown", **spec))
    failed = cluster.wait_condition(
        NAMESPACE, "mltrainingjob", name, "Succeeded", status="False", reason="InvalidInput", seconds=TRAINED_SECONDS
    )
    message = (condition_of(failed, "Succeeded") or {})["message"]
    assert named in message
    assert listed in message
    assert failed["status"]["run"]["attempt"] == 1


@pytest.mark.parametrize(
    ("strategy", "remedy"),
    [
        pytest.param({"type": "Canary", "canaryWeight": 101}, "100", id="weight above 100"),
        pytest.param({"type": "Canary", "canaryWeight": -1}, "0", id="weight below 0"),
        pytest.param({"type": "RollingUpdate", "canaryWeight": 10}, "canaryWeight", id="a weight that nothing acts on"),
    ],
)
def test_contradictory_strategies_are_refused_by_the_api_server(
    cluster: Cluster, strategy: dict[str, Any], remedy: str
) -> None:
    assert remedy in cluster.refused(NAMESPACE, deployment("refused", "unknown", strategy=strategy))


def test_a_model_name_cannot_be_changed(cluster: Cluster) -> None:
    cluster.apply(NAMESPACE, training_job("settled", "settled", suspend=True))
    assert "modelName" in cluster.refused(NAMESPACE, training_job("settled", "another", suspend=True))


def test_a_deployment_of_a_model_without_versions_waits_for_one(cluster: Cluster) -> None:
    model = Model(cluster=cluster, namespace=NAMESPACE, name="coming")
    service = Service.apply(model, "coming")
    cluster.wait_condition(
        NAMESPACE, "mldeployment", "coming", "Ready", status="False", reason="ModelNotFound", seconds=WITHIN_SECONDS
    )
    model.train()
    service.ready()


def test_a_missing_claim_is_named_and_picked_up_once_it_exists(cluster: Cluster) -> None:
    missing = {"claimName": "nowhere"}
    cluster.apply(NAMESPACE, training_job("homeless", "homeless", storage=missing))
    waiting = cluster.wait_for(
        NAMESPACE,
        "mltrainingjob",
        "homeless",
        lambda job: (condition_of(job, "Succeeded") or {}).get("reason") == "PersistentVolumeClaimNotFound",
        seconds=WITHIN_SECONDS,
        until="told about the missing claim",
    )
    assert "nowhere" in (condition_of(waiting, "Succeeded") or {})["message"]
    cluster.apply(NAMESPACE, unbound_claim("nowhere"))
    cluster.wait_for(
        NAMESPACE,
        "mltrainingjob",
        "homeless",
        lambda job: (condition_of(job, "Succeeded") or {}).get("reason") == "PersistentVolumeClaimUnbound",
        seconds=WITHIN_SECONDS,
        until="told about the unbound claim",
    )
    cluster.patch(NAMESPACE, "mltrainingjob", "homeless", {"spec": {"storage": {"claimName": "aurora-models"}}})
    cluster.wait_condition(NAMESPACE, "mltrainingjob", "homeless", "Succeeded", seconds=TRAINED_SECONDS)


def test_an_image_that_cannot_be_pulled_is_named_and_its_mending_picked_up(cluster: Cluster) -> None:
    image = "aurora-runtime:no-such-tag"
    cluster.apply(NAMESPACE, training_job("unpullable", "unpullable", image=image))
    waiting = cluster.wait_for(
        NAMESPACE,
        "mltrainingjob",
        "unpullable",
        lambda job: (condition_of(job, "Succeeded") or {}).get("reason") == "ImagePullFailed",
        seconds=WITHIN_SECONDS,
        until="told about the image",
    )
    assert image in (condition_of(waiting, "Succeeded") or {})["message"]
    events = cluster.kubectl("get", "events", "-n", NAMESPACE, "--field-selector", "reason=ImagePullFailed")
    assert "unpullable" in events
    cluster.patch(NAMESPACE, "mltrainingjob", "unpullable", {"spec": {"image": None}})
    cluster.wait_condition(
        NAMESPACE, "mltrainingjob", "unpullable", "Succeeded", seconds=TRAINED_SECONDS + READY_SECONDS
    )


def unbound_claim(name: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": spec | {"volumeName": "no-such-volume"},
    }


def test_an_unknown_field_is_refused(cluster: Cluster) -> None:
    manifest = training_job("typo", "typo") | {"apiVersion": API_VERSION}
    manifest["spec"]["hyperparams"] = {"alpha": 1.0}
    assert "hyperparams" in cluster.refused(NAMESPACE, manifest)
