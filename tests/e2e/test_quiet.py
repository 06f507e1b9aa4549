"""At rest the controller writes nothing but its lease."""

from threading import Event

from tests.e2e.cluster import Cluster
from tests.e2e.stories import Model, Service, deployment, training_job

WINDOW_SECONDS = 60.0


def test_applying_everything_again_changes_nothing(cluster: Cluster, tiny: Model) -> None:
    service = Service.serve(tiny, "quiet")
    for kind, name in (("mldeployment", "quiet"), ("mltrainingjob", tiny.job)):
        cluster.wait_for(
            tiny.namespace,
            kind,
            name,
            lambda obj: not any(c["type"] == "Reconciling" for c in obj["status"].get("conditions", [])),
            seconds=90,
            until="settled",
        )
    settle(cluster)
    position = cluster.audit_position()
    cluster.apply(tiny.namespace, training_job(tiny.job, tiny.name), deployment(service.name, tiny.name))
    Event().wait(WINDOW_SECONDS)
    assert cluster.writes_by_controller(position) == []


def settle(cluster: Cluster) -> None:
    """Returns once the controller has written nothing for ten seconds: other tests' deployments come to rest."""
    pause = Event()
    for _ in range(18):
        position = cluster.audit_position()
        pause.wait(10)
        if not cluster.writes_by_controller(position):
            return
