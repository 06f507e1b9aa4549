"""What opens a canary, what does not, and what replaces what."""

from tests.e2e.cluster import Cluster, condition_of
from tests.e2e.stories import READY_SECONDS, TINY_ROW, Model, Service
from tests.e2e.traffic import Load, ask_until


def test_a_change_of_resources_opens_a_canary_of_the_same_version(tiny: Model) -> None:
    service = Service.serve(tiny, "resized")
    tiny.cluster.patch(
        tiny.namespace, "mldeployment", "resized", {"spec": {"resources": {"requests": {"memory": "200Mi"}}}}
    )
    changed = service.wait_canary(1, 10)
    assert changed["status"]["stable"]["version"] == 1
    assert changed["status"]["stable"]["revision"] != changed["status"]["canary"]["revision"]


def test_an_upgraded_controller_restarts_no_model_pod(tiny: Model) -> None:
    cluster = tiny.cluster
    service = Service.serve(tiny, "long-lived")
    before = {pod["metadata"]["uid"] for pod in service.children("pods")}
    cluster.configure_controller(AURORA_RUNTIME_IMAGE="aurora-runtime:newer")
    try:
        cluster.wait_condition(
            tiny.namespace, "mldeployment", "long-lived", "RuntimeUpdateAvailable", seconds=READY_SECONDS
        )
        assert {pod["metadata"]["uid"] for pod in service.children("pods")} == before
    finally:
        cluster.configure_controller(AURORA_RUNTIME_IMAGE="aurora-runtime:dev")


def test_a_version_that_never_gets_ready_is_replaced_by_the_next_one_directly(tiny: Model) -> None:
    service = Service.apply(tiny, "stillborn", image="aurora-runtime:no-such-tag")
    tiny.cluster.wait_condition(
        tiny.namespace, "mldeployment", "stillborn", "Ready", status="False", reason="ImagePullFailed", seconds=30
    )
    tiny.cluster.patch(tiny.namespace, "mldeployment", "stillborn", {"spec": {"image": None}})
    ready = service.ready()
    assert ready["status"].get("canary") is None


def test_a_crash_looping_canary_gets_no_request_and_stable_answers_them_all(tiny: Model) -> None:
    service = Service.serve(tiny, "crashing", replicas=2)
    ask_until(service.endpoint(), [TINY_ROW], status=200, seconds=30)
    starved = {"requests": {"memory": "16Mi"}, "limits": {"memory": "24Mi"}}
    with Load(endpoint=service.endpoint(), rows=[TINY_ROW]) as load:
        tiny.cluster.patch(tiny.namespace, "mldeployment", "crashing", {"spec": {"resources": starved}})
        crashed = tiny.cluster.wait_condition(
            tiny.namespace,
            "mldeployment",
            "crashing",
            "CanaryHealthy",
            status="False",
            reason="CanaryCrashing",
            seconds=90,
        )
    assert crashed["status"]["canary"]["weight"] == 0
    assert load.failures == []


def test_a_second_deployment_on_the_same_host_and_path_is_told_who_holds_it(tiny: Model) -> None:
    Service.serve(tiny, "holder", host="shared.example")
    Service.apply(tiny, "latecomer", host="shared.example")
    conflicted = tiny.cluster.wait_condition(
        tiny.namespace, "mldeployment", "latecomer", "Ready", status="False", reason="RouteConflict", seconds=30
    )
    ready = condition_of(conflicted, "Ready")
    assert ready is not None
    assert "holder" in ready["message"]
    assert tiny.cluster.objects(tiny.namespace, "deployments", "aurora.io/deployment=latecomer") == []


def test_every_deleted_child_comes_back(tiny: Model) -> None:
    service = Service.serve(tiny, "healing")
    cluster: Cluster = tiny.cluster
    for kind in ("deployments", "services", "ingresses", "secrets"):
        (child,) = service.children(kind)
        name, uid = child["metadata"]["name"], child["metadata"]["uid"]
        cluster.delete(tiny.namespace, kind, name)
        cluster.wait_for(
            tiny.namespace,
            kind,
            name,
            lambda obj, old=uid: obj["metadata"]["uid"] != old,  # type: ignore[misc]
            seconds=90,
            until="back",
        )
    service.ready()


def test_deleting_a_deployment_removes_all_that_it_made(tiny: Model) -> None:
    service = Service.serve(tiny, "leaving")
    tiny.cluster.delete(tiny.namespace, "mldeployment", "leaving")
    for kind in ("ingresses", "services", "deployments", "secrets", "poddisruptionbudgets", "pods"):
        for child in service.children(kind):
            tiny.cluster.wait_gone(tiny.namespace, kind, child["metadata"]["name"], seconds=90)
        assert service.children(kind) == []
