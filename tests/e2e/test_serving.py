"""What an operator does to a server under load, and what a client finds behind the ingress."""

from collections.abc import Sequence

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.e2e.cluster import Manifest
from tests.e2e.stories import READY_SECONDS, TINY_ROW, Model, Service
from tests.e2e.traffic import Load, ask, ask_until, get

KEYS = "operated-keys"
OLD, NEW = "an-old-key-of-32-characters-0000", "a-new-key-of-32-characters-00000"


@pytest.fixture(scope="module")
def service(tiny: Model) -> Service:
    """Two pods; what they are replaced by takes over at once, and whoever asks has the old key."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS}, "stringData": {"old": OLD}}
    tiny.cluster.apply(tiny.namespace, secret)
    service = Service.serve(
        tiny,
        "operated",
        replicas=2,
        auth={"secretName": KEYS},
        strategy={"type": "RollingUpdate", "rollbackWindowSeconds": 0},
    )
    ask_until(service.endpoint(OLD), [TINY_ROW], status=200, seconds=30)
    return service


def names_of(pods: Sequence[Manifest]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


def wait_for_keys(service: Service, *names: str) -> None:
    """Returns when every pod has these keys and no other."""
    pods = sorted(names_of(service.children("pods")))
    # A kubelet looks at Secrets when it looks at a pod: once a minute, or when anything about the pod changes.
    service.cluster.kubectl(
        "annotate", "-n", service.namespace, "pods", *pods, "--overwrite", f"keys={'_'.join(names)}"
    )
    for pod in pods:
        service.cluster.wait_logged(
            service.namespace,
            pod,
            lambda line: line["event"] == "api keys loaded" and line["names"] == list(names),
            seconds=READY_SECONDS,
        )


def test_a_rolling_restart_loses_no_request(tiny: Model, service: Service) -> None:
    before = service.ready()["status"]["stable"]["revision"]
    replaced = names_of(service.children("pods"))
    with Load(endpoint=service.endpoint(OLD), rows=[TINY_ROW]) as load:
        tiny.cluster.patch(
            tiny.namespace, "mldeployment", service.name, {"spec": {"server": {"limits": {"queueLimit": 100}}}}
        )
        service.wait(
            lambda obj: obj["status"]["stable"]["revision"] != before and obj["status"]["phase"] == "Idle",
            until="served by another revision alone",
        )
        for pod in replaced:
            tiny.cluster.wait_gone(tiny.namespace, "pod", pod, seconds=READY_SECONDS)
    assert len(load.answers) > 100
    assert load.failures == []
    assert len(names_of(service.children("pods"))) == 2


def test_a_key_is_rotated_without_a_restart_or_a_refused_request(tiny: Model, service: Service) -> None:
    pods = names_of(service.children("pods"))
    with Load(endpoint=service.endpoint(OLD), rows=[TINY_ROW]) as old:
        tiny.cluster.patch(tiny.namespace, "secret", KEYS, {"stringData": {"new": NEW}})
        wait_for_keys(service, "new", "old")
        with Load(endpoint=service.endpoint(NEW), rows=[TINY_ROW]) as both:
            ask_until(service.endpoint(NEW), [TINY_ROW], status=200, seconds=30)
    with Load(endpoint=service.endpoint(NEW), rows=[TINY_ROW]) as new:
        tiny.cluster.patch(tiny.namespace, "secret", KEYS, {"data": {"old": None}})
        wait_for_keys(service, "new")
    for load in (old, both, new):
        assert load.answers
        assert load.failures == []
    assert ask(service.endpoint(OLD), [TINY_ROW]).status == 401
    assert names_of(service.children("pods")) == pods


def test_the_document_of_the_model_is_behind_the_ingress_and_its_example_is_answered(tiny: Model) -> None:
    service = Service.serve(tiny, "documented")
    endpoint = service.endpoint()
    ask_until(endpoint, [TINY_ROW], status=200, seconds=30)
    path = f"/v2/models/{tiny.name}/openapi.json"
    document = get(endpoint.base_url, path, endpoint.headers)
    assert document.status == 200
    OpenAPIV31SpecValidator(dict(document.body)).validate()
    infer = document.body["paths"][f"/v2/models/{tiny.name}/infer"]["post"]
    asked = infer["requestBody"]["content"]["application/json"]["examples"]["golden"]["value"]
    (told,) = infer["responses"]["200"]["content"]["application/json"]["examples"]["golden"]["value"]["outputs"]
    answered = ask(endpoint, [asked["inputs"][0]["data"]])
    assert answered.body["outputs"][0]["data"] == pytest.approx(told["data"])
    without_key = {"Host": endpoint.headers["Host"]}
    assert get(endpoint.base_url, path, without_key).status == 401
