"""The two samples, as a newcomer applies them, end in a correct prediction through the ingress."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, condition_of
from tests.e2e.descriptors import reference_for
from tests.e2e.stories import READY_SECONDS, TRAINED_SECONDS, Service
from tests.e2e.traffic import ask, ask_until

NAMESPACE = "e2e-samples"
SEED_TRAINING_JOB = """\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {name: california-housing-rf}
spec: {modelName: california-housing, dataset: synthetic, algorithm: random_forest}
"""
SEED_DEPLOYMENT = """\
apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: {name: california-housing}
spec: {modelName: california-housing, strategy: {type: Canary, canaryWeight: 10}}
"""


@pytest.fixture(scope="module")
def service(cluster: Cluster) -> Service:
    """Both samples applied at once, in no particular order of readiness."""
    samples = Path(__file__).resolve().parents[2] / "config" / "samples"
    cluster.apply(NAMESPACE, samples / "mldeployment.yaml", samples / "mltrainingjob.yaml")
    cluster.wait_condition(NAMESPACE, "mltrainingjob", "california-housing-rf", "Succeeded", seconds=TRAINED_SECONDS)
    service = Service(
        cluster=cluster, namespace=NAMESPACE, name="california-housing", model="california-housing", host=None
    )
    service.ready()
    return service


def test_the_samples_are_the_documented_ones_byte_for_byte(sample: Callable[[str], Path]) -> None:
    assert sample("mltrainingjob.yaml").read_text() == SEED_TRAINING_JOB
    assert sample("mldeployment.yaml").read_text() == SEED_DEPLOYMENT


def test_the_model_knows_version_1_with_metrics_and_digest(cluster: Cluster, service: Service) -> None:
    model = cluster.wait_condition(NAMESPACE, "mlmodel", "california-housing", "Ready", seconds=READY_SECONDS)
    assert model["status"]["latestVersion"] == 1
    assert model["status"]["latestDigest"].startswith("sha256:")
    assert model["status"]["latestMetrics"]["r2"] > 0.7


def test_a_prediction_through_the_ingress_equals_scikit_learn(cluster: Cluster, service: Service) -> None:
    reference = reference_for(cluster, NAMESPACE, "california-housing", 1)
    ask_until(service.endpoint(), reference.rows[:1], status=200, seconds=30)
    answer = ask(service.endpoint(), reference.rows)
    assert answer.status == 200
    assert answer.body["outputs"][0]["data"] == pytest.approx(
        reference.predictions, rel=reference.relative, abs=reference.absolute
    )


def test_the_columns_tell_the_story(cluster: Cluster, service: Service) -> None:
    table = cluster.kubectl("get", "-n", NAMESPACE, "aurora")
    for word in ("california-housing-v1", "random_forest", "Succeeded", "Ready", "r2="):
        assert word in table


def test_every_pod_runs_restricted_and_without_a_token(cluster: Cluster, service: Service) -> None:
    namespace = cluster.get("", "namespace", NAMESPACE)
    assert namespace is not None
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pods = cluster.objects(NAMESPACE, "pods")
    assert {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods} == {"trainer", "server"}
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert not any("serviceaccount" in mount["mountPath"] for mount in container["volumeMounts"])


def test_the_controller_runs_restricted(cluster: Cluster) -> None:
    namespace = cluster.get("", "namespace", "aurora-system")
    assert namespace is not None
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    deployment = cluster.get("aurora-system", "deployment", "aurora-controller")
    assert deployment is not None
    available = condition_of(deployment, "Available")
    assert available is not None
    assert available["status"] == "True"
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
