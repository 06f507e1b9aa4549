"""Numbers: one per change of inputs, never used twice, whatever is deleted in between."""

from tests.e2e.cluster import Cluster
from tests.e2e.stories import READY_SECONDS, TRAINED_SECONDS, Model, training_job

NAMESPACE = "e2e-versions"


def test_going_back_to_old_inputs_is_a_new_version(cluster: Cluster) -> None:
    model = Model(cluster=cluster, namespace=NAMESPACE, name="there-and-back")
    versions = [model.train(hyperparameters={"alpha": alpha}) for alpha in (1.0, 0.5, 1.0)]
    assert versions == [1, 2, 3]


def test_raising_only_the_resources_of_a_failed_job_tries_the_same_version_again(cluster: Cluster) -> None:
    model = Model(cluster=cluster, namespace=NAMESPACE, name="starved")
    starved = {"requests": {"memory": "16Mi"}, "limits": {"memory": "24Mi"}}
    cluster.apply(NAMESPACE, training_job(model.job, model.name, resources=starved, backoffLimit=0))
    failed = cluster.wait_condition(
        NAMESPACE, "mltrainingjob", model.job, "Succeeded", status="False", seconds=TRAINED_SECONDS
    )
    version = failed["status"]["run"]["version"]
    cluster.patch(NAMESPACE, "mltrainingjob", model.job, {"spec": {"resources": {"limits": {"memory": "1Gi"}}}})
    assert model.trained() == version


def test_a_run_ends_well_when_its_registry_entries_are_deleted_in_mid_run(cluster: Cluster) -> None:
    model = Model(cluster=cluster, namespace=NAMESPACE, name="forgotten")
    assert model.train() == 1
    cluster.patch(NAMESPACE, "mltrainingjob", model.job, {"spec": {"hyperparameters": {"alpha": 3.0}}})
    running = cluster.wait_for(
        NAMESPACE,
        "mltrainingjob",
        model.job,
        lambda job: job["status"].get("run", {}).get("version") == 2,
        seconds=READY_SECONDS,
        until="running for version 2",
    )
    assert running["status"]["run"]["phase"] != "Succeeded"
    cluster.delete(NAMESPACE, "mlmodel", model.name)
    cluster.delete(NAMESPACE, "mlmodelversion", f"{model.name}-v1", f"{model.name}-v2")
    assert model.trained() == 2
    assert model.train(hyperparameters={"alpha": 4.0}) == 3
    stored = sorted(path.name for path in (cluster.store_of(NAMESPACE, model.name)).iterdir() if path.name.isdigit())
    assert stored == ["1", "2", "3"]


def test_deleting_a_training_job_leaves_its_versions(cluster: Cluster) -> None:
    model = Model(cluster=cluster, namespace=NAMESPACE, name="orphaned")
    model.train()
    cluster.delete(NAMESPACE, "mltrainingjob", model.job)
    cluster.wait_condition(NAMESPACE, "mlmodelversion", "orphaned-v1", "Ready", seconds=READY_SECONDS)
    assert model.versions() == {1: "Ready"}
