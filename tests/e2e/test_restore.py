"""Statuses and children can be lost: the storage and the user's manifests bring the same state back."""

from tests.e2e.cluster import Cluster, condition_of
from tests.e2e.stories import TINY_ROW, Model, Service, deployment, training_job
from tests.e2e.traffic import ask_until

NAMESPACE = "e2e-restore"


def test_everything_but_storage_and_manifests_can_be_lost(cluster: Cluster) -> None:
    model = Model(cluster=cluster, namespace=NAMESPACE, name="phoenix")
    model.train()
    service = Service.serve(model, "phoenix")
    second = model.train(hyperparameters={"alpha": 0.5})
    service.wait_canary(second, 10)
    service.request("promote")
    service.wait_stable(second)
    store = cluster.store_of(NAMESPACE, model.name)
    published = {path: path.stat().st_mtime_ns for path in store.glob("*/descriptor.json")}
    key = service.api_key()

    for kind in ("mldeployments", "mltrainingjobs", "mlmodelversions", "mlmodels"):
        cluster.kubectl("delete", "-n", NAMESPACE, kind, "--all", "--wait=true", "--timeout=60s")
    for kind in ("jobs", "deployments", "services", "ingresses", "secrets", "pods"):
        for obj in cluster.objects(NAMESPACE, kind, "app.kubernetes.io/managed-by=aurora"):
            cluster.wait_gone(NAMESPACE, kind, obj["metadata"]["name"], seconds=90)

    cluster.apply(
        NAMESPACE,
        training_job(model.job, model.name, hyperparameters={"alpha": 0.5}),
        deployment("phoenix", model.name),
    )
    restored = cluster.wait_condition(NAMESPACE, "mltrainingjob", model.job, "Succeeded", seconds=120)
    assert restored["status"]["version"] == second
    succeeded = condition_of(restored, "Succeeded")
    assert succeeded is not None
    assert succeeded["reason"] == "Reused"
    ready = service.ready()
    assert ready["status"]["stable"]["version"] == second
    assert ready["status"].get("canary") is None
    assert {path: path.stat().st_mtime_ns for path in store.glob("*/descriptor.json")} == published
    assert service.api_key() != key
    answer = ask_until(service.endpoint(), [TINY_ROW], status=200, seconds=30)
    assert answer.version == str(second)
